package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

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
		t.Error("cpu succeeds for a process that has exited")
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
