package spdy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	clientexec "k8s.io/client-go/util/exec"
	cri "k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"edge/streams"
)

// A process stands for the process that runs in the container.
type process func(in io.Reader, out, errOut io.WriteCloser, resize <-chan cri.TerminalSize) error

func (p process) ExecInContainer(_ context.Context, _, _, _ string, _ []string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan cri.TerminalSize, _ time.Duration) error {
	return p(in, out, errOut, resize)
}

// exitError is the error with which the container runtime reports an exit code.
type exitError int

func (e exitError) Error() string   { return fmt.Sprint("exit ", int(e)) }
func (e exitError) String() string  { return e.Error() }
func (e exitError) Exited() bool    { return true }
func (e exitError) ExitStatus() int { return int(e) }

// runtimeServer returns the container runtime's handler of exec.
func runtimeServer(p process, set streams.Set, protocols ...string) http.Handler {
	opts := &cri.Options{Stdin: set.Stdin, Stdout: set.Stdout, Stderr: set.Stderr, TTY: set.Terminal}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cri.ServeExec(w, r, p, "pod", "uid", "container", nil, opts, time.Minute, 10*time.Second, protocols)
	})
}

// sizes is a queue of terminal sizes.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &size
}

// TestExecInterop checks that client-go's executor works with the container runtime's server when
// edge's codecs relay between them, on both sides.
func TestExecInterop(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	all := streams.Set{Stdin: true, Stdout: true, Stderr: true}
	tests := []struct {
		name      string
		set       streams.Set
		protocols []string
		process   process
		stdin     []byte
		sizes     []remotecommand.TerminalSize
		stdout    []byte
		stderr    []byte
		code      int    // exit code
		failure   string // expected part of the text of an error that is not an exit code; "": no such error
	}{
		{
			name: "success", set: all, protocols: []string{"v4.channel.k8s.io"},
			process: func(in io.Reader, out, errOut io.WriteCloser, _ <-chan cri.TerminalSize) error {
				fmt.Fprint(errOut, "warning\n")
				_, err := io.Copy(out, in)
				return err
			},
			stdin: []byte("hello\n"), stdout: []byte("hello\n"), stderr: []byte("warning\n"),
		},
		{
			name: "exit code, streams closed before", set: all, protocols: []string{"v4.channel.k8s.io"},
			process: func(in io.Reader, out, errOut io.WriteCloser, _ <-chan cri.TerminalSize) error {
				io.Copy(io.Discard, in)
				fmt.Fprint(out, "out")
				out.Close()
				errOut.Close()
				return exitError(7)
			},
			stdin: big, stdout: []byte("out"), code: 7,
		},
		{
			name: "3 MiB each way", set: all, protocols: []string{"v4.channel.k8s.io"},
			process: func(in io.Reader, out, errOut io.WriteCloser, _ <-chan cri.TerminalSize) error {
				_, err := io.CopyBuffer(struct{ io.Writer }{out}, in, make([]byte, 100_000))
				return err
			},
			stdin: big, stdout: big,
		},
		{
			name: "no stdin, large output, failure", set: streams.Set{Stdout: true}, protocols: []string{"v4.channel.k8s.io"},
			process: func(_ io.Reader, out, _ io.WriteCloser, _ <-chan cri.TerminalSize) error {
				out.Write(big)
				return errors.New("the runtime failed")
			},
			stdout: big, failure: "the runtime failed",
		},
		{
			name: "terminal", set: streams.Set{Stdin: true, Stdout: true, Terminal: true}, protocols: []string{"v4.channel.k8s.io"},
			process: func(_ io.Reader, out, _ io.WriteCloser, resize <-chan cri.TerminalSize) error {
				for range 2 {
					fmt.Fprint(out, <-resize)
				}
				return exitError(130)
			},
			sizes:  []remotecommand.TerminalSize{{Width: 80, Height: 24}, {Width: 132, Height: 50}},
			stdout: []byte("{80 24}{132 50}"), code: 130,
		},
		{
			name: "v2, failure as text", set: all, protocols: []string{"v2.channel.k8s.io"},
			process: func(in io.Reader, out, errOut io.WriteCloser, _ <-chan cri.TerminalSize) error {
				io.Copy(out, in)
				return exitError(3)
			},
			stdin: []byte("x"), stdout: []byte("x"), failure: "non-zero exit code",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, u := newGateway(t, runtimeServer(test.process, test.set, test.protocols...), &test.set)
			executor := must(remotecommand.NewSPDYExecutor(&rest.Config{Host: u.Host}, "POST", u))
			var stdout, stderr bytes.Buffer
			opts := remotecommand.StreamOptions{Tty: test.set.Terminal}
			if test.set.Stdin {
				opts.Stdin = bytes.NewReader(test.stdin)
			}
			if test.set.Stdout {
				opts.Stdout = &stdout
			}
			if test.set.Stderr {
				opts.Stderr = &stderr
			}
			if test.set.Terminal {
				queue := make(sizes, len(test.sizes))
				for _, size := range test.sizes {
					queue <- size
				}
				close(queue)
				opts.TerminalSizeQueue = queue
			}
			err := executor.StreamWithContext(t.Context(), opts)
			var exit clientexec.CodeExitError
			switch {
			case test.failure != "":
				if err == nil || !strings.Contains(err.Error(), test.failure) {
					t.Errorf("ended with %v", err)
				}
			case test.code != 0:
				if !errors.As(err, &exit) || exit.Code != test.code {
					t.Errorf("ended with %v", err)
				}
			case err != nil:
				t.Errorf("ended with %v", err)
			}
			if !bytes.Equal(stdout.Bytes(), test.stdout) {
				t.Errorf("stdout has %d bytes, not %d", stdout.Len(), len(test.stdout))
			}
			if !bytes.Equal(stderr.Bytes(), test.stderr) {
				t.Errorf("stderr is %q", stderr.Bytes())
			}
			ended(t, g)
		})
	}
}
