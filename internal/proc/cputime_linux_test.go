package proc

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestCPUTimeIsUserAndSystemTime checks that CPUTime lies between the times that getrusage reports
// before and after the call.
func TestCPUTimeIsUserAndSystemTime(t *testing.T) {
	const tick = 10 * time.Millisecond // getrusage may be late by one tick
	for range 1 << 24 {
		sink++
	}
	before := usage(t)
	got, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after := usage(t); got < before-tick || got > after+tick || got == 0 {
		t.Errorf("%s is not between %s and %s", got, before, after)
	}
}

var sink int

func usage(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
