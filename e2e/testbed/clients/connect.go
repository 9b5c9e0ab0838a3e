package clients

import (
	"context"
	"os/exec"
)

// Connect returns a command that runs `edge connect` with a kubeconfig from the method Kubeconfig.
// args are the flags of `edge connect` and, after "--", the command that it runs.
func (c *Clients) Connect(ctx context.Context, kubeconfig string, env []string, args ...string) (*exec.Cmd, error) {
	program, err := c.BuildEdge(ctx)
	if err != nil {
		return nil, err
	}
	return c.command(ctx, c.connectEnv(env), append([]string{program, "connect", "--kubeconfig=" + kubeconfig}, args...)...), nil
}

// connectEnv adds the folder for the kubeconfig that `edge connect` writes. edge deletes that file when
// it ends, but not if it is killed, which many tests do.
func (c *Clients) connectEnv(env []string) []string {
	return append([]string{"XDG_RUNTIME_DIR=" + c.Dir}, env...)
}
