package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// jsVerbs are operations of the official Kubernetes client for JavaScript. The client always offers
// the subprotocols v5 to v1, so the server must choose v4 for port-forward.
var jsVerbs = []verb{
	{name: "get", run: jsGet},
	{name: "watch", run: jsWatch},
	{name: "logs -f", run: jsFollowLogs},
	{name: "exec, stdin, exit code 7", stream: true, run: jsExec},
	{name: "exec, 20 MB each way", stream: true, heavy: true, run: jsEcho},
	{name: "exec -it, resize", stream: true, run: jsTerminal},
	{name: "attach", stream: true, run: jsAttach},
	{name: "cp, 10 MB up and down", stream: true, heavy: true, run: jsCopy},
	{name: "port-forward, 20 requests", stream: true, run: jsPortForward},
	{name: "port-forward, nobody listens", stream: true, run: jsPortForwardRefused},
}

// js runs one of the scripts in e2e/js until it ends.
func js(ctx context.Context, tr *trial, stdin io.Reader, script string, args ...string) clients.Result {
	cmd, err := tr.node.Command(ctx, script, args...)
	if err != nil {
		return clients.Result{Err: err}
	}
	return clients.RunCommand(ctx, cmd, stdin)
}

// jsLines starts one of the scripts in e2e/js. The test reads the script's output while the script
// runs.
func jsLines(ctx context.Context, tr *trial, script string, args ...string) (*lines, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd, err := tr.node.Command(ctx, script, args...)
	if err != nil {
		cancel()
		return nil, err
	}
	return watchLines(cmd, cancel)
}

func jsGet(ctx context.Context, tr *trial) error {
	return want(js(ctx, tr, nil, "get.mjs", cluster.Namespace, "shell"), 0, "shell\n")
}

func jsWatch(ctx context.Context, tr *trial) error {
	w, err := jsLines(ctx, tr, "watch.mjs", cluster.Namespace)
	if err != nil {
		return err
	}
	defer w.stop()
	return seeConfigMaps(ctx, tr, w)
}

func jsFollowLogs(ctx context.Context, tr *trial) error {
	w, err := jsLines(ctx, tr, "logs.mjs", cluster.Namespace, "ticker")
	if err != nil {
		return err
	}
	defer w.stop()
	return seeTicks(ctx, w)
}

func jsExec(ctx context.Context, tr *trial) error {
	script := "cat; echo to stderr >&2; exit 7"
	r := js(ctx, tr, strings.NewReader("from stdin\n"), "exec.mjs", cluster.Namespace, "shell", "sh", "-c", script)
	if err := want(r, 7, "from stdin\n"); err != nil {
		return err
	}
	if string(r.Stderr) != "to stderr\n" {
		return fmt.Errorf("stderr %q", r.Stderr)
	}
	return nil
}

func jsEcho(ctx context.Context, tr *trial) error {
	b := make([]byte, 20<<20)
	rand.Read(b)
	r := js(ctx, tr, bytes.NewReader(b), "exec.mjs", cluster.Namespace, "shell", "cat")
	if !bytes.Equal(r.Stdout, b) {
		return fmt.Errorf("code %d (%v), %d bytes of output that differ from the %d bytes sent; stderr %.1000q", r.Code, r.Err, len(r.Stdout), len(b), r.Stderr)
	}
	return nil
}

func jsTerminal(ctx context.Context, tr *trial) error {
	term, err := clients.StartTerminal(ctx, 30, 100, func(ctx context.Context) (*exec.Cmd, error) {
		return tr.node.Command(ctx, "exec.mjs", cluster.Namespace, "shell", "sh")
	})
	if err != nil {
		return err
	}
	defer term.Close()
	return resizeTerminal(ctx, term)
}

func jsAttach(ctx context.Context, tr *trial) error {
	pod := tr.name + "-attach"
	err := tr.site.cluster.StartPod(ctx, cluster.PodOptions{Name: pod, Stdin: true, Script: "read line; echo got $line; sleep 1"})
	if err != nil {
		return err
	}
	return want(js(ctx, tr, strings.NewReader("a line\n"), "attach.mjs", cluster.Namespace, pod), 0, "got a line\n")
}

func jsCopy(ctx context.Context, tr *trial) error {
	local, err := os.MkdirTemp(bed.Dir, "cp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(local)
	up, down := filepath.Join(local, "up"), filepath.Join(local, "down")
	if err := errors.Join(os.Mkdir(up, 0o755), os.Mkdir(down, 0o755), os.Link(blobs[10].path, filepath.Join(up, "blob"))); err != nil {
		return err
	}
	inside := "/tmp/" + tr.name
	run := func(command ...string) clients.Result {
		return js(ctx, tr, nil, "exec.mjs", append([]string{cluster.Namespace, "shell"}, command...)...)
	}
	if err := want(run("mkdir", inside), 0, ""); err != nil {
		return err
	}
	defer run("rm", "-rf", inside)
	if err := want(js(ctx, tr, nil, "cp.mjs", "up", cluster.Namespace, "shell", up, inside), 0, ""); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	if err := want(run("sha256sum", inside+"/blob"), 0, blobs[10].hash+"  "+inside+"/blob\n"); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	if err := want(js(ctx, tr, nil, "cp.mjs", "down", cluster.Namespace, "shell", down, inside), 0, ""); err != nil {
		return fmt.Errorf("down: %w", err)
	}
	hash, err := hashFile(filepath.Join(down, "blob"))
	if err != nil {
		return err
	}
	if hash != blobs[10].hash {
		return errors.New("down: the hash differs")
	}
	return nil
}

// jsForward starts a script that forwards a local port to the pod, and returns the local address.
func jsForward(ctx context.Context, tr *trial, port string) (*lines, string, error) {
	w, err := jsLines(ctx, tr, "portforward.mjs", cluster.Namespace, "shell", port)
	if err != nil {
		return nil, "", err
	}
	addr, err := w.next(ctx)
	if err != nil {
		w.stop()
		return nil, "", err
	}
	return w, addr, nil
}

func jsPortForward(ctx context.Context, tr *trial) error {
	w, addr, err := jsForward(ctx, tr, "8080")
	if err != nil {
		return err
	}
	err = fetchPages(addr)
	w.stop()
	if err != nil || w.stderr.Len() > 0 {
		return fmt.Errorf("%v; standard error %q", err, w.stderr.String())
	}
	return nil
}

// jsPortForwardRefused checks a port-forward to a port on which no process listens. The JavaScript
// client must receive the error; it leaves the local connection open.
func jsPortForwardRefused(ctx context.Context, tr *trial) error {
	w, addr, err := jsForward(ctx, tr, "9999")
	if err != nil {
		return err
	}
	defer w.stop()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return w.expect(ctx, "connection refused")
}
