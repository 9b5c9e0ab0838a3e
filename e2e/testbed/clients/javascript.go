package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"edge/e2e/testbed/binaries"
)

// JavaScript returns a command that runs one of the scripts in e2e/js, which use the official
// Kubernetes client. The kubeconfig is one from the method Kubeconfig.
func (c *Clients) JavaScript(ctx context.Context, kubeconfig, script string, args ...string) (*exec.Cmd, error) {
	dir, err := c.placeScripts()
	if err != nil {
		return nil, err
	}
	argv := append([]string{c.Bin.Node, filepath.Join(dir, script)}, args...)
	return c.command(ctx, []string{"KUBECONFIG=" + kubeconfig}, argv...), nil
}

// placeScripts copies the scripts in e2e/js, once per run of the testbed, and links the folder
// node_modules next to the copies, because Node searches packages in the folder of a script.
func (c *Clients) placeScripts() (string, error) {
	const name = "js"
	return c.MakeOnce(name, func(dir string) error {
		root, err := binaries.RepoRoot()
		if err != nil {
			return err
		}
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "e2e", name))); err != nil {
			return err
		}
		return os.Symlink(c.Bin.ClientNode, filepath.Join(dir, "node_modules"))
	})
}
