package binaries

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// testPart returns a part (an entry of the cache) whose make counts its calls in made and returns
// the error fail.
func testPart(t *testing.T, made *atomic.Int32, fail error) part {
	t.Helper()
	recipe := t.TempDir()
	if err := os.WriteFile(filepath.Join(recipe, "go.mod"), []byte("module a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return part{name: "part", recipe: recipe, make: func(_ context.Context, _ part, out string, _ *ticker) error {
		made.Add(1)
		return errors.Join(fail, os.WriteFile(filepath.Join(out, "program"), []byte("x"), 0o755))
	}}
}

// openTwice opens the same cache twice, as two processes do. Each of the two caches opens the lock
// file on its own.
func openTwice(t *testing.T) (a, b *cache) {
	t.Helper()
	t.Setenv("EDGE_TESTBED_CACHE", t.TempDir())
	a, err := openCache(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = openCache(io.Discard); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestCacheMakesOnce(t *testing.T) {
	a, b := openTwice(t)
	var made atomic.Int32
	p := testPart(t, &made, nil)
	var wg sync.WaitGroup
	for _, c := range []*cache{a, b, a, b} {
		wg.Go(func() {
			dir, err := c.ensure(t.Context(), p)
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "program")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
}

func TestCacheKeepsNothingOfAFailure(t *testing.T) {
	c, _ := openTwice(t)
	var made atomic.Int32
	broken := errors.New("broken")
	p := testPart(t, &made, broken)
	for range 2 { // after a failure, the second call must try again
		if _, err := c.ensure(t.Context(), p); !errors.Is(err, broken) {
			t.Errorf("%v, want broken", err)
		}
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "lock" {
		t.Errorf("left in the cache: %v, %v", entries, err)
	}
	if made.Load() != 2 {
		t.Errorf("made %d times, want 2", made.Load())
	}
}

func TestCacheKey(t *testing.T) {
	var made atomic.Int32
	p := testPart(t, &made, nil)
	keys := map[string]string{}
	check := func(change string) {
		t.Helper()
		key, err := p.key()
		if err != nil {
			t.Fatal(err)
		}
		if before, seen := keys[key]; seen {
			t.Errorf("the key after the change (%s) is the same as after (%s)", change, before)
		}
		keys[key] = change
	}
	check("nothing")
	p.args = []string{"-tags", "a"}
	check("another argument")
	if err := os.WriteFile(filepath.Join(p.recipe, "go.sum"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	check("another recipe file")
	if err := os.WriteFile(filepath.Join(p.recipe, "go.mod"), []byte("module b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("other content")
}
