package clients

import "context"

// Helm runs helm until it ends, with a kubeconfig from the method Kubeconfig.
func (c *Clients) Helm(ctx context.Context, kubeconfig string, args ...string) Result {
	argv := append([]string{c.Bin.Helm, "--kubeconfig=" + kubeconfig}, args...)
	return RunCommand(ctx, c.command(ctx, nil, argv...), nil)
}
