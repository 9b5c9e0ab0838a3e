package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The pods of a node together get ten times the CPU share of one process outside. With the default
// shares, all pods together would get as much as one test process. The container runtime would then
// lose output that a pod writes more than one second after its client's half-close.
const (
	podShares = "10240" // cpu.shares of cgroup version 1; a process outside has 1024
	podWeight = "1000"  // cpu.weight of cgroup version 2; a process outside has 100
)

// cgroupMounts are glob patterns of the cgroup hierarchies: first of version 2, then of version 1.
var cgroupMounts = []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"}

func cgroupName(id string) string { return "edge-testbed-" + id }

// nodeCgroup returns the name of a cluster's cgroup below cgroupName.
func nodeCgroup(cluster int) string { return strconv.Itoa(cluster) }

// makeCgroup makes the cgroup that contains all pods of a node, in every hierarchy of the first
// cgroup version that it finds.
func makeCgroup(id string, cluster int) error {
	found := 0
	for _, pattern := range cgroupMounts {
		hierarchies, _ := filepath.Glob(pattern + "cgroup.procs")
		for _, procs := range hierarchies {
			found++
			root := filepath.Join(filepath.Dir(procs), cgroupName(id))
			node := filepath.Join(root, nodeCgroup(cluster))
			if err := os.MkdirAll(node, 0o755); err != nil {
				return fmt.Errorf("testbed: cgroup of the pods: %w", err)
			}
			for _, dir := range []string{root, node} {
				if err := errors.Join(setExisting(dir, "cpu.shares", podShares), setExisting(dir, "cpu.weight", podWeight)); err != nil {
					return fmt.Errorf("testbed: cgroup of the pods: %w", err)
				}
			}
		}
		if found > 0 {
			return nil
		}
	}
	return errors.New("testbed: no cgroup hierarchy in /sys/fs/cgroup: containers need one")
}

// setExisting writes value to a file of a cgroup. It does nothing if the hierarchy does not have
// this file.
func setExisting(dir, name, value string) error {
	err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) { // cgroup file systems do not allow new files
		return nil
	}
	return err
}

// removeCgroups removes edge-testbed-<id> in every hierarchy. It waits for at most 10 s until the
// processes in it have ended.
func removeCgroups(id string) error {
	var roots []string
	for _, pattern := range cgroupMounts {
		found, _ := filepath.Glob(pattern + cgroupName(id))
		roots = append(roots, found...)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		var left error
		for _, root := range roots {
			left = errors.Join(left, removeCgroup(root))
		}
		if left == nil || time.Now().After(deadline) {
			return left
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// removeCgroup removes a cgroup and those below it. os.RemoveAll cannot do that, because a cgroup's
// files cannot be removed.
func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() {
			errs = append(errs, removeCgroup(filepath.Join(dir, e.Name())))
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		errs = append(errs, fmt.Errorf("testbed: remove cgroup %s: %w", dir, err))
	}
	return errors.Join(errs...)
}
