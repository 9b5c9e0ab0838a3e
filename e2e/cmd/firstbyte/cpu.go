package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf returns the CPU time that a process has used so far. It reads the process's CPU clock
// (clock_getcpuclockid(3)), because /proc counts in ticks of 10 ms, which is as long as the CPU
// time of two sessions.
func cpuOf(pid int) (time.Duration, error) {
	const cpuclockSched = 2 // the kernel's number for a clock of CPU time (CPUCLOCK_SCHED)
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuclockSched), &ts); err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
