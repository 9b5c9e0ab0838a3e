package proc

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// A process's clock must say what the kernel says by getrusage, taken before and after.
func TestCPUTimeIsUserAndSystemTime(t *testing.T) {
	const tick = 10 * time.Millisecond // getrusage may lag behind by one
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
