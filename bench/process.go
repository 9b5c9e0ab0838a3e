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

// stopGrace is the time that a process has to exit after SIGTERM, before SIGKILL.
const stopGrace = 5 * time.Second

// maxTail limits how much of a process's output bench keeps for an error message, in bytes.
const maxTail = 4 << 10

// process is a child process of bench, such as a proxy. The caller of startProcess must call stop.
type process struct {
	name   string
	cmd    *exec.Cmd
	output *tail
	done   chan struct{} // closed when the process has exited and cmd.Wait has returned
}

// startProcess starts cmd as a child process. It keeps the last output of the child's stderr, and
// also of its stdout unless cmd.Stdout is set.
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
		_ = cmd.Wait() // ignore the error: the method failure reports how the process exited
	}()
	return p, nil
}

// stop ends the process and waits until it has exited. Calling stop again does nothing.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// failure adds to err the last output of the process, and its state if it has exited.
func (p *process) failure(err error) error {
	select {
	case <-p.done:
		err = fmt.Errorf("%w (%w: %s)", err, errExited, p.cmd.ProcessState)
	default:
	}
	return fmt.Errorf("%w\nlast output of %s:\n%s", err, p.name, p.output)
}

func (p *process) cpu() (time.Duration, error) { return proc.CPUTime(p.cmd.Process.Pid) }
func (p *process) residentKiB() (int64, error) { return proc.ResidentKiB(p.cmd.Process.Pid) }

// tail is an io.Writer that keeps the last maxTail bytes that were written to it.
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
