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

// statePrefix is the beginning of the name of a state folder, <temp>/edge-testbed-<id>. The process
// that makes the folder holds a lock on the file "owner" in it. The file contains the process's id,
// for people who look at it.
const statePrefix = "edge-testbed-"

func makeState() (dir, id string, unown func(), err error) {
	id = run.RandomHex(4)
	dir = filepath.Join(os.TempDir(), statePrefix+id)
	// Clean ignores a folder with this name; the folder gets its final name after it is locked
	fresh := dir + ".new"
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

// Clean removes the state folders, mounts, cables, cgroups and addresses of earlier runs that were killed. It
// does not touch the runs of processes that still exist.
func Clean() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), statePrefix+"????????"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		lock, err := os.OpenFile(filepath.Join(dir, "owner"), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) && time.Since(modTime(dir)) < time.Minute {
			continue // the process that owns the folder is removing it now
		}
		if err == nil {
			if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
				lock.Close()
				continue // the process that owns the folder still runs
			}
		}
		errs = append(errs, removeState(dir, strings.TrimPrefix(filepath.Base(dir), statePrefix)))
		if lock != nil {
			lock.Close()
		}
	}
	return errors.Join(errs...)
}

// removeState removes the state folder of a run, and the mounts, cables, cgroups and the address that
// can outlive the run's processes.
func removeState(dir, id string) error {
	if err := run.ReleaseAddress(filepath.Join(dir, addressFile)); err != nil {
		return err // with its folder, Clean can try again
	}
	return errors.Join(cluster.RemoveRemains(id), os.RemoveAll(dir))
}

// addressFile is the file in the state folder that contains the run's address.
const addressFile = "address"

func modTime(path string) time.Time {
	st, err := os.Stat(path)
	if err != nil {
		return time.Now()
	}
	return st.ModTime()
}
