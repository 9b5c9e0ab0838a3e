package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"edge/e2e/testbed/binaries"
)

// K9s starts k9s in a terminal, with a kubeconfig from the method Kubeconfig. For a shell in a pod
// k9s runs the kubectl in its PATH, which is the newest one.
func (c *Clients) K9s(ctx context.Context, kubeconfig string, args ...string) (*Terminal, error) {
	home, err := os.MkdirTemp(c.Dir, "k9s-")
	if err != nil {
		return nil, err
	}
	// otherwise k9s asks GitHub for its latest release
	const config = "k9s:\n  skipLatestRevCheck: true\n"
	if err := os.WriteFile(filepath.Join(home, "config.yaml"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	kubectl := c.Bin.Kubectl[binaries.KubectlVersions[len(binaries.KubectlVersions)-1]]
	env := []string{
		"K9S_CONFIG_DIR=" + home, "K9S_LOGS_DIR=" + home, "TERM=xterm-256color",
		"PATH=" + filepath.Dir(kubectl) + string(filepath.ListSeparator) + os.Getenv("PATH"),
	}
	argv := append([]string{c.Bin.K9s, "--kubeconfig=" + kubeconfig, "--splashless"}, args...)
	return StartTerminal(ctx, 30, 120, func(ctx context.Context) (*exec.Cmd, error) {
		return c.command(ctx, env, argv...), nil
	})
}
