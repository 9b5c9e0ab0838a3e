package main

import (
	"errors"
	"fmt"
	"time"

	"edge/internal/proc"
)

// usage is what a process has and has used.
type usage struct {
	RSS         int64         // bytes
	CPU         time.Duration // user and system time since it began
	Descriptors int           // 0: not known
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

// process is one that is watched, this one first.
type process struct {
	pid  int
	name string
}
