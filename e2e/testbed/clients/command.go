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

// Result is what a client's run came to.
type Result struct {
	Stdout []byte
	Stderr []byte
	Code   int   // exit code; -1 when a signal ended it
	Err    error // it did not run, or was ended because ctx was done; not a failure of its own
}

// command prepares a client. It is ended when ctx is done, and with the testbed's own process.
func (c *Clients) command(ctx context.Context, env []string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = c.Dir
	// Clients cache what they discovered below HOME. No proxy of the machine may come between.
	cmd.Env = append(withoutProxies(os.Environ()), "HOME="+filepath.Join(c.Dir, "home"))
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// RunCommand runs a prepared client to its end, its input from stdin (nil: none).
func RunCommand(ctx context.Context, cmd *exec.Cmd, stdin io.Reader) Result {
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := run.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	r := Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
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
