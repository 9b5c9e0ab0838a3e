package edge

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
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
	"bridge":      {"streams/", "impersonate"},
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

// TestCorpusIsTested: each attack that docs/security.md lists is a test of that name.
func TestCorpusIsTested(t *testing.T) {
	document, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, corpus, ok := strings.Cut(string(document), "## The attack corpus")
	if !ok {
		t.Fatal("no attack corpus")
	}
	corpus, _, _ = strings.Cut(corpus, "\n## ")
	wanted := map[string]bool{}
	for line := range strings.Lines(corpus) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.Contains(cells[1], "---") || strings.TrimSpace(cells[1]) == "test" {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			wanted[strings.TrimSpace(name)] = true
		}
	}
	if len(wanted) < 30 {
		t.Fatalf("%d attacks found: the table is not read", len(wanted))
	}
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for name := range wanted {
			if strings.Contains(string(text), "\nfunc Test"+name+"(t *testing.T)") {
				delete(wanted, name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range wanted {
		t.Errorf("docs/security.md lists %s, and there is no Test%s", name, name)
	}
}
