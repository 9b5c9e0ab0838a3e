package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"edge/e2e/testbed/binaries"
)

// ClientNode is one release of client-node, the official JavaScript client, with a kubeconfig.
type ClientNode struct {
	clients    *Clients
	release    string
	kubeconfig string
}

// ClientNode returns a release in the field ClientNode of binaries.Set, with a kubeconfig from the
// method Kubeconfig.
func (c *Clients) ClientNode(release, kubeconfig string) *ClientNode {
	return &ClientNode{clients: c, release: release, kubeconfig: kubeconfig}
}

// Command returns a command that runs one of the scripts in e2e/js.
func (n *ClientNode) Command(ctx context.Context, script string, args ...string) (*exec.Cmd, error) {
	dir, err := n.placeScripts()
	if err != nil {
		return nil, err
	}
	argv := append([]string{n.paths().Node, filepath.Join(dir, script)}, args...)
	return n.clients.command(ctx, []string{"KUBECONFIG=" + n.kubeconfig}, argv...), nil
}

func (n *ClientNode) paths() binaries.ClientNode { return n.clients.Bin.ClientNode[n.release] }

// placeScripts copies the scripts in e2e/js, once per release and run of the testbed, and links the
// folder node_modules next to the copies, because Node searches packages in the folder of a script.
func (n *ClientNode) placeScripts() (string, error) {
	const name = "js"
	return n.clients.MakeOnce(name+"-"+n.release, func(dir string) error {
		root, err := binaries.RepoRoot()
		if err != nil {
			return err
		}
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "e2e", name))); err != nil {
			return err
		}
		return os.Symlink(n.paths().Modules, filepath.Join(dir, "node_modules"))
	})
}
