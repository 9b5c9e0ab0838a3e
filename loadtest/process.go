package main

import (
	"errors"
	"fmt"
	"time"

	"edge/internal/proc"
)

// usage is the memory, CPU time and number of file descriptors of a process.
type usage struct {
	RSS         int64         // resident memory, in bytes
	CPU         time.Duration // user and system time since the process began
	Descriptors int           // open file descriptors; 0: unknown
}

func readUsage(pid int) (u usage, err error) {
	kib, err := proc.ResidentKiB(pid)
	if err != nil && !errors.Is(err, proc.ErrNoMemory) {
		return u, fmt.Errorf("process %d: %w", pid, err)
	}
	if u.CPU, err = proc.CPUTime(pid); err != nil {
		return u, fmt.Errorf("process %d: %w", pid, err)
	}
	u.RSS, u.Descriptors = kib<<10, proc.Descriptors(pid)
	return u, nil
}

// process is a process whose usage (memory, CPU time) is recorded. In the list of processes,
// loadtest itself is the first one.
type process struct {
	pid  int
	name string
}
