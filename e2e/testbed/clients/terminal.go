package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"

	"edge/e2e/testbed/run"
)

// Terminal is a program that runs in a real terminal (a pty). The caller must call Close.
type Terminal struct {
	master *os.File
	cmd    *exec.Cmd
	cancel context.CancelFunc
	ended  chan struct{}

	mu     sync.Mutex
	output []byte // everything that the program has written to the terminal so far
	old    int    // number of bytes of output that Expect ignores
	grew   chan struct{}
}

// Terminal starts kubectl in a terminal with this many rows and columns.
func (k *Kubectl) Terminal(ctx context.Context, rows, cols int, args ...string) (*Terminal, error) {
	return StartTerminal(ctx, rows, cols, func(ctx context.Context) (*exec.Cmd, error) { return k.Command(ctx, args...), nil })
}

// Shell starts an interactive bash in a terminal. env is added to bash's environment.
func (c *Clients) Shell(ctx context.Context, env ...string) (*Terminal, error) {
	return StartTerminal(ctx, 24, 200, func(ctx context.Context) (*exec.Cmd, error) {
		env := append([]string{"PS1=ready> ", "TERM=dumb"}, env...)
		return c.command(ctx, env, "bash", "--norc", "--noprofile", "--noediting", "-i"), nil
	})
}

// StartTerminal starts the command that prepare returns in a terminal with this many rows and
// columns.
func StartTerminal(ctx context.Context, rows, cols int, prepare func(context.Context) (*exec.Cmd, error)) (*Terminal, error) {
	master, tty, err := pty.Open()
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	t := &Terminal{master: master, ended: make(chan struct{}), grew: make(chan struct{})}
	if err := t.Resize(rows, cols); err != nil {
		master.Close()
		return nil, err
	}
	ctx, t.cancel = context.WithCancel(ctx)
	if t.cmd, err = prepare(ctx); err != nil {
		t.cancel()
		master.Close()
		return nil, err
	}
	t.cmd.Stdin, t.cmd.Stdout, t.cmd.Stderr = tty, tty, tty
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := run.Start(t.cmd); err != nil {
		t.cancel()
		master.Close()
		return nil, err
	}
	go t.read()
	return t, nil
}

func (t *Terminal) read() {
	buf := make([]byte, 4096)
	for {
		// Read returns the error EIO when no process has the terminal open any more
		n, err := t.master.Read(buf)
		t.mu.Lock()
		t.output = append(t.output, buf[:n]...)
		close(t.grew)
		t.grew = make(chan struct{})
		t.mu.Unlock()
		if err != nil {
			break
		}
	}
	t.cmd.Wait()
	close(t.ended)
}

// Type sends keys to the program, as if a user had typed them.
func (t *Terminal) Type(keys string) error {
	_, err := t.master.WriteString(keys)
	return err
}

// Resize changes the size of the terminal. The kernel then sends SIGWINCH to the program.
func (t *Terminal) Resize(rows, cols int) error {
	return pty.Setsize(t.master, &pty.Winsize{Rows: uint16(rows), Cols: uint16(cols)})
}

// Forget makes Expect ignore what the program has written so far.
func (t *Terminal) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.old = len(t.output)
}

// Expect waits for at most two minutes until the program has written text to the terminal.
func (t *Terminal) Expect(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		shown, grew := t.fresh()
		if strings.Contains(shown, text) {
			return nil
		}
		select {
		case <-grew:
		case <-t.ended:
			if shown, _ = t.fresh(); strings.Contains(shown, text) {
				return nil
			}
			return fmt.Errorf("terminal: the program ended before it showed %q: %q", text, shown)
		case <-ctx.Done():
			return fmt.Errorf("terminal: timed out before it showed %q: %q", text, shown)
		}
	}
}

// fresh returns the output that Forget has not made old, and a channel that is closed when there is
// more of it.
func (t *Terminal) fresh() (output string, grew <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.output[t.old:]), t.grew
}

// Shown returns everything that the program has written to the terminal so far.
func (t *Terminal) Shown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.output)
}

// Close kills the program if it still runs, and closes the terminal.
func (t *Terminal) Close() {
	t.cancel()
	<-t.ended
	t.master.Close()
}

// Wait waits until the program has ended and returns its exit code; -1: a signal or the end of ctx
// ended it. The caller must still call Close.
func (t *Terminal) Wait(ctx context.Context) int {
	select {
	case <-t.ended:
	case <-ctx.Done():
		t.cancel()
		<-t.ended
	}
	return t.cmd.ProcessState.ExitCode()
}
