package testbed

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"edge/e2e/testbed/binaries"
)

// JavaScript prepares a script of e2e/js, which has the official Kubernetes client, with a file that Kubeconfig wrote.
func (tb *Testbed) JavaScript(ctx context.Context, kubeconfig, script string, args ...string) (*exec.Cmd, error) {
	dir, err := tb.placeScripts()
	if err != nil {
		return nil, err
	}
	argv := append([]string{tb.Bin.Node, filepath.Join(dir, script)}, args...)
	return tb.command(ctx, []string{"KUBECONFIG=" + kubeconfig}, argv...), nil
}

// placeScripts copies the scripts, once, beside a link to their packages: there alone does node look for them.
func (tb *Testbed) placeScripts() (string, error) {
	tb.build.Lock()
	defer tb.build.Unlock()
	const name = "js"
	dir := filepath.Join(tb.Dir, name)
	if tb.built[name] {
		return dir, nil
	}
	root, err := binaries.RepoRoot()
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "e2e", name))); err != nil {
		return "", err
	}
	if err := os.Symlink(tb.Bin.ClientNode, filepath.Join(dir, "node_modules")); err != nil {
		return "", err
	}
	tb.built[name] = true
	return dir, nil
}
