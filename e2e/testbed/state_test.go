package testbed

import (
	"os"
	"path/filepath"
	"testing"
)

// TestClean: folders whose owner lives are left alone, others go.
func TestClean(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	owned, _, unown, err := makeState()
	if err != nil {
		t.Fatal(err)
	}
	left, _, die, err := makeState()
	if err != nil {
		t.Fatal(err)
	}
	die() // as the end of its process does
	stranger := filepath.Join(os.TempDir(), "edge-something")
	if err := os.Mkdir(stranger, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Clean(); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{owned: true, left: false, stranger: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: is there %v, want %v", dir, err == nil, want)
		}
	}
	unown()
	if err := Clean(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(owned); err == nil {
		t.Error("still there after its owner went")
	}
}
