package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// python runs the script e2e/python/exec.py until it ends. The script runs a command in the pod
// "shell".
func python(ctx context.Context, tr *trial, stdin io.Reader, command ...string) clients.Result {
	cmd, err := bed.Python(ctx, tr.file, "exec.py", append([]string{cluster.Namespace, "shell"}, command...)...)
	if err != nil {
		return clients.Result{Err: err}
	}
	return clients.RunCommand(ctx, cmd, stdin)
}

func pythonExec(ctx context.Context, tr *trial) error {
	r := python(ctx, tr, nil, "sh", "-c", "echo out; echo err >&2; exit 7")
	if err := want(r, 7, "out\n"); err != nil {
		return err
	}
	if string(r.Stderr) != "err\n" {
		return fmt.Errorf("stderr %q", r.Stderr)
	}
	return nil
}

// pythonMegabyte sends 1 MiB to a command and reads it back, with the Python client. The data is
// base64 text, because the client decodes output as UTF-8. The client cannot half-close stdin, so
// the command reads a fixed number of bytes.
func pythonMegabyte(ctx context.Context, tr *trial) error {
	b := make([]byte, 1<<20)
	rand.Read(b)
	text := base64.StdEncoding.EncodeToString(b)
	script := fmt.Sprintf("head -c %d >/tmp/%s; cat /tmp/%s; rm /tmp/%s", len(text), tr.name, tr.name, tr.name)
	return want(python(ctx, tr, strings.NewReader(text), "sh", "-c", script), 0, text)
}

// pythonPortForward checks port-forward with the Python client, which uses WebSocket v4 for it.
func pythonPortForward(ctx context.Context, tr *trial) error {
	cmd, err := bed.Python(ctx, tr.file, "portforward.py", cluster.Namespace, "shell", "9000", "1000000")
	if err != nil {
		return err
	}
	return want(clients.RunCommand(ctx, cmd, nil), 0, "echo\necho\nrefused\n")
}
