package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf returns the CPU time that a process has used. It reads the process's CPU clock
// (clock_getcpuclockid(3)), because /proc counts in ticks of 10 ms, which is the CPU time of two
// sessions.
func cpuOf(pid int) (time.Duration, error) {
	const cpuclockSched = 2 // CPUCLOCK_SCHED in the kernel
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuclockSched), &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
