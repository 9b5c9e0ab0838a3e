package clients

import (
	"context"
	"os/exec"
	"path/filepath"

	"edge/e2e/testbed/binaries"
)

// Python returns a command that runs one of the scripts in e2e/python, which use the official
// Kubernetes client. The kubeconfig is one from the method Kubeconfig.
func (c *Clients) Python(ctx context.Context, kubeconfig, script string, args ...string) (*exec.Cmd, error) {
	root, err := binaries.RepoRoot()
	if err != nil {
		return nil, err
	}
	argv := append([]string{c.Bin.Python, "-B", filepath.Join(root, "e2e", "python", script)}, args...)
	return c.command(ctx, []string{"KUBECONFIG=" + kubeconfig}, argv...), nil
}
