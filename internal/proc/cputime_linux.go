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
	const schedClock = 2 // CPUCLOCK_SCHED of Linux; clock_getcpuclockid(3) builds a clock id in the same way
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedClock, &ts); err != nil {
		return 0, fmt.Errorf("proc: read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
