package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// javaVerbs are operations of the HTTP library OkHttp. It sends the headers and frames of the
// official Kubernetes client for Java, which Debian does not package. The official client always
// offers v5 and v4, sends messages of 15 MiB, and sends a ping every 60 s.
var javaVerbs = []verb{
	{name: "exec, output, error output, exit code", stream: true, run: okHttpExec},
	{name: "exec, 40 MB of stdin", stream: true, heavy: true, run: okHttpLarge},
	{name: "exec -it, resize", stream: true, run: okHttpTerminal},
	{name: "port-forward, 1 MB each way, nobody listens", stream: true, run: okHttpForward},
}

// jdkVerbs are operations of the WebSocket client in Java's standard library (JDK), which splits
// messages into fragments. They test only how edge handles fragments: no Kubernetes client in these
// tests uses that WebSocket client.
var jdkVerbs = []verb{
	{name: "exec, output, error output, exit code", stream: true, run: jdkExec},
	{name: "exec, fragmented text", stream: true, run: jdkText},
	{name: "exec, fragmented binary", stream: true, run: jdkBinary},
}

// java runs one of the programs in e2e/java until it ends.
func java(ctx context.Context, tr *trial, stdin io.Reader, program string, args ...string) clients.Result {
	cmd, err := bed.Java(ctx, tr.file, program, args...)
	if err != nil {
		return clients.Result{Err: err}
	}
	return clients.RunCommand(ctx, cmd, stdin)
}

const noTerminal = "-"

func okHttpExec(ctx context.Context, tr *trial) error {
	return javaExec(ctx, tr, "OkHttpExec", noTerminal)
}

// javaExec runs one of the programs in e2e/java that send an exec request. first is the program's
// first argument.
func javaExec(ctx context.Context, tr *trial, program, first string) error {
	script := "cat; echo to stderr >&2; exit 7"
	r := java(ctx, tr, strings.NewReader("from stdin\n"), program, first, cluster.Namespace, "shell", "sh", "-c", script)
	if err := want(r, 7, "from stdin\n"); err != nil {
		return err
	}
	if string(r.Stderr) != "to stderr\n" {
		return fmt.Errorf("stderr %q", r.Stderr)
	}
	return nil
}

func okHttpLarge(ctx context.Context, tr *trial) error {
	b := make([]byte, 40<<20)
	rand.Read(b)
	sum := sha256.Sum256(b)
	r := java(ctx, tr, bytes.NewReader(b), "OkHttpExec", noTerminal, cluster.Namespace, "shell", "sha256sum")
	return want(r, 0, hex.EncodeToString(sum[:])+"  -\n")
}

func okHttpTerminal(ctx context.Context, tr *trial) error {
	script := `until [ "$(stty size 2>/dev/null)" = "41 123" ]; do sleep 0.1; done; echo the size is $(stty size); exit 5`
	return want(java(ctx, tr, nil, "OkHttpExec", "123x41", cluster.Namespace, "shell", "sh", "-c", script), 5, "the size is 41 123\r\n")
}

func okHttpForward(ctx context.Context, tr *trial) error {
	r := java(ctx, tr, nil, "OkHttpForward", cluster.Namespace, "shell", "9000", "1000000")
	return want(r, 0, "refused\necho\nclosed with 1000\n")
}

func jdkExec(ctx context.Context, tr *trial) error {
	return javaExec(ctx, tr, "JdkExec", "text")
}

// jdkText sends text whose characters have one to three bytes in UTF-8. The Java client splits the
// text only between characters; edge and the API server receive fragments of bytes.
func jdkText(ctx context.Context, tr *trial) error {
	text := strings.Repeat("aäö€", 1<<17)
	return want(java(ctx, tr, strings.NewReader(text), "JdkExec", "text", cluster.Namespace, "shell", "cat"), 0, text)
}

func jdkBinary(ctx context.Context, tr *trial) error {
	b := make([]byte, 1<<20)
	rand.Read(b)
	return want(java(ctx, tr, bytes.NewReader(b), "JdkExec", "binary", cluster.Namespace, "shell", "cat"), 0, string(b))
}
