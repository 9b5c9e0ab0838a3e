package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"edge/e2e/testbed/run"
)

// lines is a running client program whose output a test reads line by line.
type lines struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	c      chan string // the lines of the program's stdout; closed when the output ends
	stderr bytes.Buffer
	seen   []string
	code   chan int
}

// startLines starts the client program that prepare(ctx, args...) returns.
func startLines(ctx context.Context, prepare func(context.Context, ...string) *exec.Cmd, args ...string) (*lines, error) {
	ctx, cancel := context.WithCancel(ctx)
	return watchLines(prepare(ctx, args...), cancel)
}

func watchLines(cmd *exec.Cmd, cancel context.CancelFunc) (*lines, error) {
	w := &lines{cmd: cmd, cancel: cancel, c: make(chan string, 1024), code: make(chan int, 1)}
	r, out := io.Pipe()
	w.cmd.Stdout, w.cmd.Stderr = out, &w.stderr
	if err := run.Start(w.cmd); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(w.c)
		for s := bufio.NewScanner(r); s.Scan(); {
			w.c <- s.Text()
		}
	}()
	go func() {
		w.cmd.Wait()
		out.Close()
		w.code <- w.cmd.ProcessState.ExitCode()
	}()
	return w, nil
}

// next waits for the next line of the program's output, for at most three minutes (the constant
// patience).
func (w *lines) next(ctx context.Context) (string, error) {
	select {
	case line, ok := <-w.c:
		if !ok {
			return "", fmt.Errorf("ended with code %d after %q: %s", w.wait(), w.seen, w.stderr.String())
		}
		w.seen = append(w.seen, line)
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(patience):
		return "", fmt.Errorf("timed out after %v waiting for the next line after %q", patience, w.seen)
	}
}

// expect reads lines of the program's output until one of them contains text.
func (w *lines) expect(ctx context.Context, text string) error {
	for {
		line, err := w.next(ctx)
		if err != nil {
			return fmt.Errorf("waiting for %q: %w", text, err)
		}
		if strings.Contains(line, text) {
			return nil
		}
	}
}

// wait waits until the client program has ended and returns its exit code; -1: a signal ended it.
func (w *lines) wait() int {
	code := <-w.code
	w.code <- code
	return code
}

func (w *lines) stop() {
	w.cancel()
	// read the remaining lines, because the program cannot end while its output is full
	for range w.c {
	}
	w.wait()
}
