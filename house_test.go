package edge

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says what each top-level folder may import of ours, tests included. A
// folder named here with a trailing slash stands for itself and all below it.
var rooms = map[string][]string{
	"cmd":         {"*"},
	"bridge":      {"bridge/internal/", "streams/", "impersonate"},
	"streams":     {"streams/"},
	"authn":       {},
	"impersonate": {},
	"audit":       {"bridge", "impersonate"},
	"ops":         {"bridge"},
	"bench":       {"bench/"},
	"loadtest":    {"streams/"},
}

// elsewhere are folders without Go code of this module.
var elsewhere = []string{"deploy", "docs", "e2e"}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || slices.Contains(elsewhere, path) || path == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || filepath.Dir(path) == "." {
			return nil
		}
		files++
		room, _, _ := strings.Cut(filepath.ToSlash(path), "/")
		may, known := rooms[room]
		if !known {
			t.Errorf("%s: %q is not a room of the house", path, room)
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
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
			own := filepath.ToSlash(filepath.Dir(path))
			if ours != own && !allowed(may, ours) {
				t.Errorf("%s imports %s: room %s may import %v of ours", path, name, room, may)
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

func allowed(may []string, ours string) bool {
	for _, m := range may {
		if m == "*" || m == ours || strings.HasSuffix(m, "/") && (ours+"/" == m || strings.HasPrefix(ours, m)) {
			return true
		}
	}
	return false
}
