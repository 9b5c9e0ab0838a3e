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

// StartupTime bounds each wait of a start, on a machine that also runs tests. A kubelet that was slow to register its node waits
// two minutes before it tries again to be ready.
const StartupTime = 5 * time.Minute

// Process is a running program. It dies with the testbed's own process, however that ends.
type Process struct {
	Name string
	Log  string // file that has its output

	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; read it after done
	killed sync.Once     // later, the id may be somebody else's
}

// Spawn starts a program in a process group of its own, its output in <dir>/<name>.log (appended to).
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

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the process group at once and waits. It may be called again, as may Stop.
func (p *Process) Kill() {
	p.killed.Do(func() { syscall.Kill(-p.Pid(), syscall.SIGKILL) })
	<-p.done
}

// Stop asks the process to end, and ends it when it has not after grace.
func (p *Process) Stop(grace time.Duration) {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
	}
	p.Kill() // also what it left in its group
}

// Signal sends s to the process alone.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Output is all that the process wrote so far.
func (p *Process) Output() (string, error) {
	b, err := os.ReadFile(p.Log)
	return string(b), err
}

// Tail is the end of the process's output, at most 4 KiB.
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

// Until repeats try every 50 ms until it succeeds. It gives up when ctx ends, after timeout, or when one of the
// processes that it depends on has ended; the error then has that process's last words.
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
				return fmt.Errorf("testbed: %s: %s ended: %v\n%s", what, p.Name, p.err, p.Tail())
			default:
			}
		}
		select {
		case <-ctx.Done():
			for _, p := range on {
				last = fmt.Errorf("%w\n%s said:\n%s", last, p.Name, p.Tail())
			}
			return fmt.Errorf("testbed: %s: gave up after %v: %w", what, timeout, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// The kernel sends a parent-death signal when the thread that started a process ends, not its process (golang/go#27505).
// So all are started by one thread that stays.
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

// Start starts a prepared command so that it ends with this process.
func Start(cmd *exec.Cmd) error {
	errc := make(chan error)
	starter() <- func() { errc <- cmd.Start() }
	return <-errc
}
