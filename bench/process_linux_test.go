package main

import (
	"os"
	"os/exec"
	"strings"
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
	got, err := cpuTime(os.Getpid())
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

func TestStoppedProcessIsGoneAndItsOutputKept(t *testing.T) {
	p, err := startProcess("sleeper", exec.Command("sh", "-c", "echo last words; exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	for p.output.String() == "" {
		select {
		case <-p.done:
			t.Fatal("ended by itself")
		case <-time.After(time.Millisecond):
		}
	}
	if _, err := p.cpu(); err != nil {
		t.Error(err)
	}
	p.stop()
	p.stop()
	if _, err := p.cpu(); err == nil {
		t.Error("the clock of a process that is gone")
	}
	text := p.failure(errEarlyEnd).Error()
	for _, want := range []string{errEarlyEnd.Error(), errExited.Error(), "sleeper", "last words"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var out tail
	long := strings.Repeat("a", 3*maxTail)
	for _, part := range []string{"first", long, "b", "c"} {
		if n, err := out.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if got := out.String(); len(got) != maxTail || !strings.HasSuffix(got, "aabc") {
		t.Errorf("%d bytes, ending in %q", len(got), got[max(0, len(got)-8):])
	}
}
