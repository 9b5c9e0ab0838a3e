package run

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// StartupTime is the timeout for each wait while the testbed's programs start, also on a machine
// that runs tests at the same time. It must be longer than two minutes: a kubelet that was slow to
// register its node waits that long before it again tries to become ready.
const StartupTime = 5 * time.Minute

// Process is a running program that Spawn started. The kernel kills it when the testbed's own
// process ends, for whatever reason.
type Process struct {
	Name string
	Log  string // path of the file that receives the program's output

	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // result of cmd.Wait; valid after the channel done is closed
	// the program is killed only once, because the process id may later belong to another process
	killed sync.Once
}

// Spawn starts a program in a process group of its own. The program's output is appended to the
// file <dir>/<name>.log.
func Spawn(dir, name string, argv []string, env ...string) (*Process, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{Name: name, Log: log.Name(), cmd: cmd, done: make(chan struct{})}
	if err := Start(cmd); err != nil {
		return nil, fmt.Errorf("testbed: start %s: %w", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Done returns a channel that is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Pid returns the process id of the program.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill sends SIGKILL to the program's process group and waits until the program has ended. After
// Kill or Stop, both may be called again.
func (p *Process) Kill() {
	p.killed.Do(func() { syscall.Kill(-p.Pid(), syscall.SIGKILL) })
	<-p.done
}

// Stop sends SIGTERM to the program and waits for at most grace until it has ended. Then it kills
// the process group.
func (p *Process) Stop(grace time.Duration) {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
	}
	p.Kill() // also kills child processes that are still in the process group
}

// Signal sends the signal s to the program only, not to its process group.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Output returns everything that the program has written to its log file so far.
func (p *Process) Output() (string, error) {
	b, err := os.ReadFile(p.Log)
	return string(b), err
}

// Tail returns the last lines of the program's output, at most 4 KiB.
func (p *Process) Tail() string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	const most = 4 << 10
	if len(b) > most {
		b = b[len(b)-most:]
		b = b[bytes.IndexByte(b, '\n')+1:]
	}
	return string(b)
}

// Until calls the function try every 50 ms until try returns nil. Until returns an error when ctx
// ends, when the timeout has passed, or when one of the processes in the parameter on has ended. In
// that last case, the error contains the last lines of the process's output. The parameter what
// names the awaited event in errors.
func Until(ctx context.Context, timeout time.Duration, what string, try func(context.Context) error, on ...*Process) error {
	whole := ctx
	ctx, cancel := context.WithTimeout(whole, timeout)
	defer cancel()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if whole.Err() != nil {
			return fmt.Errorf("testbed: %s: %w", what, context.Cause(whole))
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		for _, p := range on {
			select {
			case <-p.done:
				return fmt.Errorf("testbed: %s: %s ended: %v; the end of its output:\n%s", what, p.Name, p.err, p.Tail())
			default:
			}
		}
		select {
		case <-ctx.Done():
			for _, p := range on {
				last = fmt.Errorf("%w\nthe end of the output of %s:\n%s", last, p.Name, p.Tail())
			}
			return fmt.Errorf("testbed: %s: timed out after %v: %w", what, timeout, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// starter returns a channel. A thread that never ends calls each function that is sent to the
// channel, and the testbed starts all processes on this thread. Otherwise the kernel would kill a
// process when the thread that started it ends, and not only when the whole parent process ends
// (golang/go#27505).
var starter = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

// Start starts the command cmd on the permanent thread of starter, so that the kernel kills the
// command when this process ends.
func Start(cmd *exec.Cmd) error {
	errc := make(chan error)
	starter() <- func() { errc <- cmd.Start() }
	return <-errc
}
