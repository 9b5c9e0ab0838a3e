package testbed

import (
	"os"
	"path/filepath"
	"testing"
)

// TestClean checks that Clean removes a state folder whose lock is free, but no folder whose lock
// is held, and no other folder.
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
	die() // release the lock, as the kernel does when the process that owns the folder ends
	stranger := filepath.Join(os.TempDir(), "edge-something")
	if err := os.Mkdir(stranger, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Clean(); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{owned: true, left: false, stranger: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: exists: %v, want %v", dir, err == nil, want)
		}
	}
	unown()
	if err := Clean(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(owned); err == nil {
		t.Error("the state folder still exists after its owner released the lock")
	}
}
