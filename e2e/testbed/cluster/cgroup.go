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

// Pods get as much of a busy processor as ten processes outside. In a node that shares the machine with its tests they would
// have as much as one, all of them together, and the container runtime drops what a pod says more than a second after its
// client's half-close.
const (
	podShares = "10240" // cpu.shares of version 1; a process outside has 1024
	podWeight = "1000"  // cpu.weight of version 2; 100
)

// cgroupMounts are patterns of where hierarchies of cgroups are: of version 2, of version 1.
var cgroupMounts = []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"}

func cgroupName(id string) string { return "edge-testbed-" + id }

// nodeCgroup is a cluster's part of cgroupName.
func nodeCgroup(cluster int) string { return strconv.Itoa(cluster) }

// makeCgroup makes the kubelet's cgroup, in which all pods of a node are, in every hierarchy.
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
	return errors.New("testbed: no cgroups in /sys/fs/cgroup: containers need them")
}

// setExisting writes to a file that not every hierarchy has.
func setExisting(dir, name, value string) error {
	err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) { // cgroup file systems let nobody create one
		return nil
	}
	return err
}

// removeCgroups removes /edge-testbed-<id> in every hierarchy, waiting for at most 10 s for dying processes.
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

// removeCgroup removes a cgroup and those below it. os.RemoveAll cannot: their files cannot be removed.
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
