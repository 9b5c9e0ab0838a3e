package proc

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime returns the user and system time of the process, its ended threads included. It reads the
// CPU clock of the process, which is precise to the nanosecond; /proc/<pid>/stat gives the same
// time in ticks of 10 ms.
func CPUTime(pid int) (time.Duration, error) {
	// The ID of a process's CPU clock is the inverted pid, shifted, with the constant CPUCLOCK_SCHED
	// of Linux (2) in the low bits. clock_getcpuclockid(3) builds the ID in the same way.
	const schedClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedClock, &ts); err != nil {
		return 0, fmt.Errorf("proc: read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
