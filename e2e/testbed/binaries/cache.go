package binaries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// part is one entry of the cache.
type part struct {
	extent Extent   // for which it is needed
	name   string   // of its folder
	title  string   // for people
	recipe string   // folder whose files say what to make
	args   []string // of the build; with the recipe's files they are the part's key

	// make fills the empty folder out.
	make func(ctx context.Context, p part, out string, t *ticker) error
}

// cache is a folder of finished parts.
type cache struct {
	dir      string
	progress io.Writer
}

// CacheDir is where the cache is: EDGE_TESTBED_CACHE, or edge-testbed in the user's folder for caches.
func CacheDir() (string, error) {
	dir := os.Getenv("EDGE_TESTBED_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("binaries: no cache folder, set EDGE_TESTBED_CACHE: %w", err)
		}
		dir = filepath.Join(base, "edge-testbed")
	}
	return filepath.Abs(dir)
}

func openCache(progress io.Writer) (*cache, error) {
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	return &cache{dir: dir, progress: progress}, os.MkdirAll(dir, 0o755)
}

// ensure returns the folder of p, made now if it is not there.
func (c *cache) ensure(ctx context.Context, p part) (string, error) {
	key, err := p.key()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(c.dir, p.name+"-"+key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil { // made while we waited
		return dir, nil
	}
	tmp, err := os.MkdirTemp(c.dir, "."+p.name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	t := startTicker(c.progress, p.title)
	err = p.make(ctx, p, tmp, t)
	t.stop(err)
	if err != nil {
		return "", err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

// key is 16 hex digits over all that decides what the part will contain.
func (p part) key() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s/%s %s\n%q\n", runtime.GOOS, runtime.GOARCH, runtime.Version(), p.args)
	entries, err := os.ReadDir(p.recipe) // sorted
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(p.recipe, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", e.Name(), len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// lock holds the whole cache: builds are made one after the other, also those of two runs.
func (c *cache) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for told := false; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if !told {
			told = true
			fmt.Fprintln(c.progress, "testbed: another run is building, waiting for it")
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
