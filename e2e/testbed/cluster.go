package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Kind is which Kubernetes a cluster behaves like.
type Kind string

const (
	// New is the current release with its defaults: WebSocket for exec, attach and port-forward.
	New Kind = "new"
	// Old does with WebSocket what releases before 1.30 do: v4 passes raw to the container runtime, v5 is refused, and
	// there is no tunnelled port-forward.
	Old Kind = "old"
)

// gates are the feature gates that turn the current release into the kind.
func (k Kind) gates() (apiserver, kubelet string) {
	if k != Old {
		return "", ""
	}
	const toKubelet = "ExtendWebSocketsToKubelet=false"
	return strings.Join([]string{
		"TranslateStreamCloseWebsocketRequests=false",
		"PortForwardWebsockets=false",
		"AuthorizePodWebsocketUpgradeCreatePermission=false",
		"ConstrainedImpersonation=false",
		toKubelet,
	}, ","), toKubelet
}

// Cluster is a running Kubernetes with one node.
type Cluster struct {
	Kind   Kind
	URL    string               // of the API server
	CAFile string               // of the certificate that it serves with
	Admin  *rest.Config         // may do everything
	Client kubernetes.Interface // as Admin
	Node   string               // the node's name
	dir    string               // below the testbed's folder
	tb     *Testbed
	ca     *Authority
	number int          // among the run's clusters
	subnet netip.Prefix // of pods

	mu        sync.Mutex
	apiserver *Process
	apiArgs   []string
	etcd      *Process
	node      *Process
}

// StartCluster returns when the node is ready and pods can be run. Clusters may be started at the same time.
func (tb *Testbed) StartCluster(ctx context.Context, kind Kind) (*Cluster, error) {
	number, err := tb.nextCluster()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Kind: kind, tb: tb, number: number,
		Node: fmt.Sprintf("node-%s-%d", tb.id, number),
		dir:  filepath.Join(tb.Dir, fmt.Sprintf("cluster-%d-%s", number, kind)),
	}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, err
	}
	if c.ca, err = newAuthority("kubernetes " + string(kind)); err != nil {
		return nil, err
	}
	c.CAFile = filepath.Join(c.dir, "ca.crt")
	if err := os.WriteFile(c.CAFile, c.ca.PEM, 0o644); err != nil {
		return nil, err
	}
	start := time.Now()
	for _, step := range []func(context.Context) error{
		c.prepareNode, // files only; the node's runtime starts while the control plane does
		c.startEtcd,
		c.startAPIServer,
		c.startNode,
		c.waitControlPlane,
		c.waitNode,
	} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("testbed: %s cluster: %w", kind, err)
		}
	}
	fmt.Fprintf(tb.log, "testbed: %s cluster is up in %.1f s\n", kind, time.Since(start).Seconds())
	return c, nil
}

func (tb *Testbed) nextCluster() (int, error) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	if tb.clusters == maxClusters {
		return 0, fmt.Errorf("testbed: more than %d clusters", maxClusters)
	}
	tb.clusters++
	return tb.clusters - 1, nil
}

// path is a file of the cluster.
func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}
