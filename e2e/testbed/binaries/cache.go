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

// part is one entry of the cache of programs, such as etcd, with the way to make it.
type part struct {
	extent Extent // the part is made only if Ensure is called with this Extent or a larger one
	name   string // beginning of the name of the cache entry's folder; the key follows
	title  string // name of the part in progress messages
	recipe string // folder with the files that define how the part is made, such as go.mod
	// arguments of the build; the part's key is a hash of these and of the files in the recipe
	args []string
	env  []string // additional environment of the build; the key depends on it too

	// The function make makes the part in the folder out, which exists and is empty when make is
	// called.
	make func(ctx context.Context, p part, out string, t *ticker) error
}

// cache is the folder that contains all finished parts (programs that the testbed has built or
// downloaded).
type cache struct {
	dir      string
	progress io.Writer
}

// CacheDir returns the folder of the cache: $EDGE_TESTBED_CACHE or, if that is empty, edge-testbed
// in the user's cache folder.
func CacheDir() (string, error) {
	dir := os.Getenv("EDGE_TESTBED_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("binaries: cannot determine the cache folder, set EDGE_TESTBED_CACHE: %w", err)
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

// ensure returns the folder of part p in the cache. If the folder does not exist yet, ensure makes
// the part.
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
	// another run of the testbed has made the part while this run waited for the lock
	if _, err := os.Stat(dir); err == nil {
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

// key returns a hash over everything that determines the part's content, as 16 hexadecimal digits.
func (p part) key() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s/%s %s\n%q\n%q\n", runtime.GOOS, runtime.GOARCH, runtime.Version(), p.args, p.env)
	// ReadDir sorts the entries by file name, so the hash depends only on the files
	entries, err := os.ReadDir(p.recipe)
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

// lock locks the whole cache with a file lock, so that all runs on this machine together make only
// one part at a time.
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
			fmt.Fprintln(c.progress, "testbed: waiting for another run that is building programs")
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
