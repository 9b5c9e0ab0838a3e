package clients

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"edge/e2e/testbed/run"
)

// Result is what a client program printed, and how it ended.
type Result struct {
	Stdout []byte
	Stderr []byte
	Code   int // exit code; -1: a signal ended the client, or the client did not start
	// not nil if the client did not start, or was killed when ctx ended; nil: the client exited
	Err error
}

// command returns a client's command that is ready to start. The client is killed when ctx ends,
// and also when the testbed's own process ends.
func (c *Clients) command(ctx context.Context, env []string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = c.Dir
	// Clients store their discovery cache below HOME. They must not use the HTTP proxy of this
	// machine.
	cmd.Env = append(withoutProxies(os.Environ()), "HOME="+filepath.Join(c.Dir, "home"))
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// RunCommand starts a client's command and waits until the client ends. stdin is the client's
// input; nil: the input is empty.
func RunCommand(ctx context.Context, cmd *exec.Cmd, stdin io.Reader) Result {
	var stdout bytes.Buffer
	cmd.Stdin = stdin
	r := RunCommandTo(ctx, cmd, &stdout)
	r.Stdout = stdout.Bytes()
	return r
}

// RunCommandTo is RunCommand for a client whose output goes to stdout while the client runs. The
// Result has no output.
func RunCommandTo(ctx context.Context, cmd *exec.Cmd, stdout io.Writer) Result {
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	err := run.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	r := Result{Stderr: stderr.Bytes()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && ctx.Err() == nil:
		r.Code = exit.ExitCode()
	case err != nil:
		r.Code, r.Err = -1, errors.Join(ctx.Err(), err)
	}
	return r
}

func withoutProxies(env []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(strings.ToLower(e), "=")
		if name != "http_proxy" && name != "https_proxy" && name != "all_proxy" && name != "kubeconfig" {
			kept = append(kept, e)
		}
	}
	return kept
}
