package main

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"edge/internal/proc"
)

// stopGrace is how long a process may take to end after SIGTERM, before SIGKILL.
const stopGrace = 5 * time.Second

// maxTail bounds what is kept of a process's output for an error message, in bytes.
const maxTail = 4 << 10

// process is a child of the driver. Whoever starts it must stop it.
type process struct {
	name   string
	cmd    *exec.Cmd
	output *tail
	done   chan struct{} // closed when the process has been waited for
}

// startProcess runs cmd with its error output, and its output if nobody else reads that, kept as a tail.
func startProcess(name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, output: &tail{}, done: make(chan struct{})}
	cmd.SysProcAttr = childAttributes()
	cmd.Stderr = p.output
	if cmd.Stdout == nil {
		cmd.Stdout = p.output
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended matters only to somebody who still uses it: see failure
	}()
	return p, nil
}

// stop ends the process and waits for it. It may be called again.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// failure adds to err what the process said last, and whether it is still there.
func (p *process) failure(err error) error {
	select {
	case <-p.done:
		err = fmt.Errorf("%w (%w: %s)", err, errExited, p.cmd.ProcessState)
	default:
	}
	return fmt.Errorf("%w\n%s said last:\n%s", err, p.name, p.output)
}

func (p *process) cpu() (time.Duration, error) { return proc.CPUTime(p.cmd.Process.Pid) }
func (p *process) residentKiB() (int64, error) { return proc.ResidentKiB(p.cmd.Process.Pid) }

// tail keeps the last maxTail bytes that were written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b[max(0, len(b)-maxTail):]...)
	t.buf = append(t.buf[:0], t.buf[max(0, len(t.buf)-maxTail):]...)
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
