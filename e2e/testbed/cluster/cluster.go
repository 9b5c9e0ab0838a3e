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

// Kind selects the Kubernetes releases that a cluster behaves like.
type Kind string

const (
	// New is the current release with its defaults: it supports WebSocket for exec, attach and
	// port-forward.
	New Kind = "new"
	// Old handles WebSocket as releases before 1.30 do: it passes v4 unchanged to the container
	// runtime, refuses v5, and does not support port-forward that is tunnelled in WebSocket.
	Old Kind = "old"
)

// gates returns the feature gates with which the current release behaves like the kind.
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

// Cluster is a running Kubernetes cluster with one node.
type Cluster struct {
	Kind   Kind
	URL    string               // of the API server
	CAFile string               // path of the CA certificate that signed the API server's certificate
	Admin  *rest.Config         // has all rights
	Client kubernetes.Interface // uses Admin
	Node   string               // the node's name
	CA     *pki.Authority       // signs the cluster's certificates

	run    *run.Run
	dir    string       // folder in the run's state folder
	number int          // number among the clusters of the run, from 0
	subnet netip.Prefix // addresses of pods

	mu        sync.Mutex
	apiserver *run.Process
	apiArgs   []string
	etcd      *run.Process
	node      *run.Process
}

// path returns a path in the cluster's folder.
func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}
