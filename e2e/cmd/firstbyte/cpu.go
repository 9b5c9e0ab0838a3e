package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf is the CPU time that a process has used, from its clock (clock_getcpuclockid(3)): /proc has it in ticks of 10 ms,
// which is what two sessions take.
func cpuOf(pid int) (time.Duration, error) {
	const cpuclockSched = 2 // the kernel's CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuclockSched), &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
