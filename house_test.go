package edge

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms maps each folder to the folders of this module that its Go files, tests included, may
// import. A subfolder without an entry of its own uses the entry of its parent. In the lists,
// "bridge/" with a trailing slash means the folder bridge and all folders below it, and "*" means
// every folder.
var rooms = map[string][]string{
	"cmd":    {"*"},
	"bridge": {"bridge/internal/", "streams/", "impersonate", "internal/metric", "internal/tracing", "internal/stack"},

	"bridge/internal/session": {
		"bridge/internal/upstream", "bridge/internal/negotiate", "bridge/internal/leg", "bridge/internal/status", "streams/",
		"internal/metric",
	},
	"bridge/internal/upstream": {
		"bridge/internal/roundtrip", "bridge/internal/negotiate", "bridge/internal/leg", "bridge/internal/status", "impersonate",
		"internal/tracing",
	},
	"bridge/internal/negotiate": {"bridge/internal/leg", "bridge/internal/status", "streams/"},
	"bridge/internal/leg":       {"streams"},
	"bridge/internal/status":    {},
	"bridge/internal/roundtrip": {"internal/metric", "internal/stack"},

	"streams":     {"streams/"},
	"serving":     {},
	"review":      {"internal/metric"},
	"authn":       {"review", "internal/metric", "internal/tracing", "internal/stack"},
	"impersonate": {"review", "internal/tracing"},
	"audit":       {"bridge", "impersonate", "internal/metric"},
	"ops":         {"bridge"},
	"bench":       {"bench/", "internal/proc"},
	"loadtest":    {"streams/", "internal/proc"},

	"internal/metric":  {},
	"internal/tracing": {},
	"internal/otlp":    {},
	"internal/proc":    {},
	"internal/stack":   {},
	forTests:           {},

	"e2e":                    {"e2e/"},
	"e2e/testbed":            {"e2e/testbed/"},
	"e2e/testbed/clients":    {"e2e/testbed/cluster", "e2e/testbed/run", "e2e/testbed/pki", "e2e/testbed/binaries"},
	"e2e/testbed/network":    {"e2e/testbed/cluster", "e2e/testbed/run", "e2e/testbed/pki", "e2e/testbed/binaries"},
	"e2e/testbed/issuer":     {"e2e/testbed/run", "e2e/testbed/pki", "e2e/testbed/binaries"},
	"e2e/testbed/cluster":    {"e2e/testbed/run", "e2e/testbed/pki", "e2e/testbed/binaries"},
	"e2e/testbed/run":        {"e2e/testbed/pki", "e2e/testbed/binaries"},
	"e2e/testbed/monitoring": {"e2e/testbed/run", "e2e/testbed/pki", "e2e/testbed/binaries"},
	"e2e/testbed/pki":        {},
	"e2e/testbed/binaries":   {},
}

// forTests is the package that the tests of every folder may import, and that only tests may
// import.
const forTests = "internal/testkit"

// elsewhere lists the folders without Go code, which TestRoomsImportOnlyWhatTheyMay skips.
var elsewhere = []string{"deploy", "docs"}

// TestRoomsImportOnlyWhatTheyMay checks the imports of each Go file of this module: from this
// module it imports only the packages that the table rooms allows for the file's folder.
func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || slices.Contains(elsewhere, file) || file == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || filepath.Dir(file) == "." {
			return nil
		}
		files++
		room, known := roomOf(filepath.ToSlash(filepath.Dir(file)))
		if !known {
			t.Errorf("%s: neither its folder nor a parent folder has an entry in rooms", file)
			return nil
		}
		may := rooms[room]
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imported := range parsed.Imports {
			name, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				return err
			}
			ours, ok := strings.CutPrefix(name, "edge/")
			if !ok {
				continue
			}
			own := filepath.ToSlash(filepath.Dir(file))
			if ours == forTests {
				if !strings.HasSuffix(file, "_test.go") {
					t.Errorf("%s imports %s, which only tests may import", file, name)
				}
				continue
			}
			if ours != own && !allowed(may, ours) {
				t.Errorf("%s imports %s: folder %s may import only %v of this module", file, name, room, may)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no Go files found")
	}
}

// roomOf returns the innermost folder at or above folder that has an entry in the table rooms. The
// search stops at a folder named internal: each package below internal needs an entry of its own.
func roomOf(folder string) (room string, known bool) {
	for room = folder; ; room = path.Dir(room) {
		if _, known = rooms[room]; known || room == "." || path.Base(room) == "internal" {
			return room, known
		}
	}
}

func allowed(may []string, ours string) bool {
	for _, m := range may {
		if m == "*" || m == ours || strings.HasSuffix(m, "/") && (ours+"/" == m || strings.HasPrefix(ours, m)) {
			return true
		}
	}
	return false
}
