package cluster

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"edge/e2e/testbed/run"
)

var (
	//go:embed node.sh
	nodeScript string
	//go:embed containerd.toml
	containerdConfig string
	//go:embed kubelet.yaml
	kubeletConfig string
	//go:embed cni.conflist
	cniConfig string
)

// prepareNode writes the node's configuration files and container images, and makes the cgroup for
// its pods.
func (c *Cluster) prepareNode(ctx context.Context) error {
	cert, key, err := c.CA.IssueFiles(c.dir, "kubelet", "system:node:"+c.Node, "system:nodes")
	if err != nil {
		return err
	}
	values := map[string]any{
		"Dir":     c.dir,
		"Bin":     c.run.Bin,
		"Cgroup":  cgroupName(c.run.ID) + "/" + nodeCgroup(c.number),
		"Network": c.network,
		"Address": c.run.Address,
		"Pause":   pauseImage,
		"CA":      c.CAFile,
		"Cert":    cert,
		"Key":     key,
		"Old":     c.Kind == Old,
		"DNS":     dnsServiceIP,
		"Domain":  clusterDomain,
	}
	if err := os.MkdirAll(c.path("cni"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"node.sh":                 nodeScript,
		"containerd.toml":         containerdConfig,
		"kubelet.yaml":            kubeletConfig,
		"cni/10-testbed.conflist": cniConfig,
	} {
		if err := run.Render(c.path(name), text, values); err != nil {
			return err
		}
	}
	if err := makeCgroup(c.run.ID, c.number); err != nil {
		return err
	}
	inpod, err := c.run.BuildInpod(ctx)
	if err != nil {
		return err
	}
	return writeImages(c.path("images.tar"), c.run.Bin.Busybox, inpod)
}

func (c *Cluster) startNode(ctx context.Context) error {
	kubeconfig, err := c.kubeconfig("kubelet", "system:node:"+c.Node, "system:nodes")
	if err != nil {
		return err
	}
	c.node, err = run.Spawn(c.dir, "node", []string{c.run.Bin.Unshare, "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc",
		"/bin/sh", c.path("node.sh"),
		c.release().Kubelet,
		"--config=" + c.path("kubelet.yaml"), "--kubeconfig=" + kubeconfig,
		"--root-dir=" + c.path("kubelet"), "--hostname-override=" + c.Node,
		"--cloud-provider=external", // waitNode sets the node's address
	}, "PATH=/usr/sbin:/usr/bin:/sbin:/bin:"+filepath.Dir(c.run.Bin.Containerd), lazyGC)
	if err != nil {
		return err
	}
	c.run.OnClose(c.node.Kill)
	return c.connectNode(ctx)
}

// waitNode tells the node's script to start the kubelet and waits until the node is ready. The
// cluster has no cloud provider, so waitNode itself sets the node's address and removes its taint.
func (c *Cluster) waitNode(ctx context.Context) error {
	if err := os.WriteFile(c.path("apiserver-is-ready"), nil, 0o644); err != nil {
		return err
	}
	nodes := c.Client.CoreV1().Nodes()
	err := run.Until(ctx, run.StartupTime, "node", func(ctx context.Context) error {
		_, err := nodes.Get(ctx, c.Node, metav1.GetOptions{})
		return err
	}, c.node)
	if err != nil {
		return c.withNodeLogs(err)
	}
	untaint := []byte(`{"spec":{"taints":null}}`)
	if _, err := nodes.Patch(ctx, c.Node, types.MergePatchType, untaint, metav1.PatchOptions{}); err != nil {
		return err
	}
	address, err := json.Marshal(map[string]any{"status": map[string]any{"addresses": []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: c.network.Node.String()},
	}}})
	if err != nil {
		return err
	}
	if _, err := nodes.Patch(ctx, c.Node, types.MergePatchType, address, metav1.PatchOptions{}, "status"); err != nil {
		return err
	}
	err = run.Until(ctx, run.StartupTime, "node", func(ctx context.Context) error {
		node, err := nodes.Get(ctx, c.Node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, cond := range node.Status.Conditions {
			if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue {
				return nil
			} else if cond.Type == corev1.NodeReady {
				err = errors.New(cond.Message)
			}
		}
		return fmt.Errorf("not ready: %w", err)
	}, c.node)
	return c.withNodeLogs(err)
}

// withNodeLogs adds the last lines of the logs of containerd and the kubelet to err, unless err is
// nil or context.Canceled.
func (c *Cluster) withNodeLogs(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	for _, name := range []string{"containerd", "kubelet"} {
		p := run.Process{Name: name, Log: c.path(name + ".log")}
		err = fmt.Errorf("%w\nthe end of the output of %s:\n%s", err, name, p.Tail())
	}
	return err
}
