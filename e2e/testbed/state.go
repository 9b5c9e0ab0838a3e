package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

// A state folder is <temp>/edge-testbed-<id>. Its file "owner" is locked by the process that made it and holds that
// process's id, for people.
const statePrefix = "edge-testbed-"

func makeState() (dir, id string, unown func(), err error) {
	id = run.RandomHex(4)
	dir = filepath.Join(os.TempDir(), statePrefix+id)
	fresh := dir + ".new" // Clean does not look at it: it has no name until it has its owner
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return "", "", nil, err
	}
	lock, err := os.OpenFile(filepath.Join(fresh, "owner"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", "", nil, errors.Join(err, os.RemoveAll(fresh))
	}
	fmt.Fprintln(lock, os.Getpid())
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = os.Rename(fresh, dir)
	}
	if err != nil {
		lock.Close()
		return "", "", nil, errors.Join(err, os.RemoveAll(fresh))
	}
	return dir, id, func() { lock.Close() }, nil
}

// Clean removes what runs left behind that were killed before they could. Running ones are not touched.
func Clean() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), statePrefix+"????????"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		lock, err := os.OpenFile(filepath.Join(dir, "owner"), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) && time.Since(modTime(dir)) < time.Minute {
			continue // being removed
		}
		if err == nil {
			if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
				lock.Close()
				continue // its owner lives
			}
		}
		errs = append(errs, removeState(dir, strings.TrimPrefix(filepath.Base(dir), statePrefix)))
		if lock != nil {
			lock.Close()
		}
	}
	return errors.Join(errs...)
}

// removeState removes all that can outlive a run's processes.
func removeState(dir, id string) error {
	return errors.Join(cluster.RemoveRemains(id), os.RemoveAll(dir))
}

func modTime(path string) time.Time {
	st, err := os.Stat(path)
	if err != nil {
		return time.Now()
	}
	return st.ModTime()
}
