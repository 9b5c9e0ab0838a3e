package testbed

import "context"

// Helm runs helm to its end, with a file that Kubeconfig wrote.
func (tb *Testbed) Helm(ctx context.Context, kubeconfig string, args ...string) Result {
	argv := append([]string{tb.Bin.Helm, "--kubeconfig=" + kubeconfig}, args...)
	return RunCommand(ctx, tb.command(ctx, nil, argv...), nil)
}
