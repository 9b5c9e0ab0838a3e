package cluster

import (
	"net/netip"
	"path/filepath"
	"strings"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed/pki"
	"edge/e2e/testbed/run"
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
	CA     *pki.Authority       // of its certificates

	run    *run.Run
	dir    string       // below the run's folder
	number int          // among the run's clusters
	subnet netip.Prefix // of pods

	mu        sync.Mutex
	apiserver *run.Process
	apiArgs   []string
	etcd      *run.Process
	node      *run.Process
}

// path is a file of the cluster.
func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}
