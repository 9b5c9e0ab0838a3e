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
	extent Extent   // the part is made only if this Extent is wanted
	name   string   // begins the name of the part's folder
	title  string   // for progress messages
	recipe string   // folder with the files that define how the part is made
	args   []string // arguments of the build; hashed with the recipe's files to the part's key

	// make builds the part into the folder out, which exists and is empty.
	make func(ctx context.Context, p part, out string, t *ticker) error
}

// cache is the folder that contains the finished parts.
type cache struct {
	dir      string
	progress io.Writer
}

// CacheDir returns the cache folder: EDGE_TESTBED_CACHE or, if that is empty, edge-testbed in the
// user's cache folder.
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

// ensure returns the folder of part p. It makes the part if the folder does not exist.
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
	if _, err := os.Stat(dir); err == nil { // another run made it while this one waited for the lock
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

// key returns 16 hexadecimal digits of a hash over everything that determines the part's content.
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

// lock locks the whole cache, so that only one part is built at a time, also when several runs
// build.
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
