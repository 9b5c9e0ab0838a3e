package proc

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is the user and system time of a whole process, its ended threads included. The clock of
// another process is precise to the nanosecond; /proc/<pid>/stat says the same in ticks of 10 ms.
func CPUTime(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED; clock_getcpuclockid(3) composes the id in the same way
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedClock, &ts); err != nil {
		return 0, fmt.Errorf("proc: read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
