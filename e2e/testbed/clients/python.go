package clients

import (
	"context"
	"os/exec"
	"path/filepath"

	"edge/e2e/testbed/binaries"
)

// Python prepares a script of e2e/python. The interpreter has the official Kubernetes client; the
// kubeconfig is one that Kubeconfig wrote.
func (c *Clients) Python(ctx context.Context, kubeconfig, script string, args ...string) (*exec.Cmd, error) {
	root, err := binaries.RepoRoot()
	if err != nil {
		return nil, err
	}
	argv := append([]string{c.Bin.Python, "-B", filepath.Join(root, "e2e", "python", script)}, args...)
	return c.command(ctx, []string{"KUBECONFIG=" + kubeconfig}, argv...), nil
}
