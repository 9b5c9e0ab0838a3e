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

// CPU shares of the cgroup that contains all pods of a node: ten times the shares of one process
// outside of this cgroup. With the default shares, all pods together would get only as much CPU as
// one test process. The container runtime would then lose output that a pod writes more than one
// second after the client has half-closed its stdin.
const (
	// value for cpu.shares (cgroup version 1); a process outside of the cgroup has 1024
	podShares = "10240"
	// value for cpu.weight (cgroup version 2); a process outside of the cgroup has 100
	podWeight = "1000"
)

// cgroupMounts are glob patterns for the folders of the cgroup hierarchies: first of version 2,
// then of version 1.
var cgroupMounts = []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"}

func cgroupName(id string) string { return "edge-testbed-" + id }

// nodeCgroup returns the name of the cgroup of a cluster's node. Its parent is the run's cgroup,
// whose name the function cgroupName returns.
func nodeCgroup(cluster int) string { return strconv.Itoa(cluster) }

// makeCgroup makes the cgroup for the pods of a cluster's node: in the hierarchy of cgroup version
// 2 or, if there is none, in all hierarchies of version 1.
func makeCgroup(id string, cluster int) error {
	found := 0
	for _, pattern := range cgroupMounts {
		hierarchies, _ := filepath.Glob(pattern + "cgroup.procs")
		for _, procs := range hierarchies {
			found++
			root := filepath.Join(filepath.Dir(procs), cgroupName(id))
			node := filepath.Join(root, nodeCgroup(cluster))
			if err := os.MkdirAll(node, 0o755); err != nil {
				return fmt.Errorf("testbed: make a cgroup for the pods: %w", err)
			}
			for _, dir := range []string{root, node} {
				if err := errors.Join(setExisting(dir, "cpu.shares", podShares), setExisting(dir, "cpu.weight", podWeight)); err != nil {
					return fmt.Errorf("testbed: make a cgroup for the pods: %w", err)
				}
			}
		}
		if found > 0 {
			return nil
		}
	}
	return errors.New("testbed: no cgroup hierarchy in /sys/fs/cgroup: containers need one")
}

// setExisting writes value to the file name of a cgroup. It does nothing if the cgroup has no such
// file.
func setExisting(dir, name, value string) error {
	err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0)
	// The cgroup has no such file. WriteFile then tries to make the file, which a cgroup file
	// system does not permit.
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil
	}
	return err
}

// removeCgroups removes the cgroup edge-testbed-<id> in every hierarchy. For at most 10 s it waits
// until the processes in the cgroup have ended.
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

// removeCgroup removes a cgroup and the cgroups below it. os.RemoveAll cannot do that, because the
// files of a cgroup cannot be removed.
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
