package cluster

import (
	"path/filepath"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed/pki"
	"edge/e2e/testbed/run"
)

// Cluster is a running Kubernetes cluster with one node.
type Cluster struct {
	Kind Kind
	URL  string // address of the API server
	// path of the certificate of the CA that signed the API server's certificate
	CAFile string
	Admin  *rest.Config         // configuration of a client with all rights
	Client kubernetes.Interface // client with the configuration Admin
	Node   string               // name of the cluster's only node
	CA     *pki.Authority       // CA that signs the cluster's certificates

	run     *run.Run
	dir     string // folder of the cluster in the run's state folder
	number  int    // the cluster's number in this run, from 0
	network nodeNetwork

	auditMu sync.Mutex
	audit   map[string]*auditLog // what is read of each API server's audit log, by path

	imageMu  sync.Mutex
	imported map[string]bool // images that ImportImage has imported, by name

	apiserver *run.Process
	apiArgs   []string
	etcd      *run.Process
	node      *run.Process
	services  []*run.Process // what StartServices has started, without pods
}

// path joins the names in elem to a path in the cluster's folder.
func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}
