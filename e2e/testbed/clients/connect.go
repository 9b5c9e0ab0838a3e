package clients

import (
	"context"
	"os/exec"
)

// Connect prepares `edge connect` with a kubeconfig that Kubeconfig wrote. args are its flags and,
// after "--", the command that it runs.
func (c *Clients) Connect(ctx context.Context, kubeconfig string, env []string, args ...string) (*exec.Cmd, error) {
	program, err := c.BuildEdge(ctx)
	if err != nil {
		return nil, err
	}
	return c.command(ctx, env, append([]string{program, "connect", "--kubeconfig=" + kubeconfig}, args...)...), nil
}
