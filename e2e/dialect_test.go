package e2e

import (
	"context"
	"os/exec"
	"testing"

	"edge/e2e/testbed/clients"
)

// dialect is a client that uses one exec dialect (a protocol and subprotocol), and a path to edge
// that supports this dialect.
type dialect struct {
	name    string
	path    string
	version string // kubectl's version; empty: the client is the Python client
	env     []string
}

// dialects are clients that together cover all exec dialects of edge: SPDY, WebSocket v5 and
// WebSocket v4.
var dialects = []dialect{
	{name: "spdy, kubectl 1.29", path: direct, version: "1.29"},
	{name: "spdy, kubectl 1.35", path: direct, version: "1.35", env: []string{"KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false"}},
	{name: "v5, kubectl 1.29", path: direct, version: "1.29", env: []string{"KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true"}},
	{name: "v5, kubectl 1.35", path: direct, version: "1.35"},
	{name: "v5 balanced, kubectl 1.29", path: balanced, version: "1.29", env: []string{"KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true"}},
	{name: "v5 balanced, kubectl 1.35", path: balanced, version: "1.35"},
	{name: "v4, python 22.6", path: direct},
	{name: "v4 balanced, python 22.6", path: balanced},
}

// exec returns a command, not yet started, that runs a shell script in the pod "shell" of a
// namespace.
func (d dialect) exec(ctx context.Context, t *testing.T, s *site, user, namespace, script string) *exec.Cmd {
	t.Helper()
	access := s.access(d.path, tokens[user])
	access.Namespace = namespace
	file, err := bed.Kubeconfig(access)
	if err != nil {
		t.Fatal(err)
	}
	if d.version != "" {
		return bed.Kubectl(d.version, file, d.env...).Command(ctx, "exec", "shell", "--", "sh", "-c", script)
	}
	cmd, err := bed.Python(ctx, file, "exec.py", namespace, "shell", "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// run runs a shell script in the pod "shell" of a namespace, until the client ends.
func (d dialect) run(ctx context.Context, t *testing.T, s *site, user, namespace, script string) clients.Result {
	t.Helper()
	return clients.RunCommand(ctx, d.exec(ctx, t, s, user, namespace, script), nil)
}
