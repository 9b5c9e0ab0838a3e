package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"edge/e2e/testbed/pki"
	"edge/e2e/testbed/run"
)

// maxClusters limits the number of clusters in one run of the testbed, because the name of a cable
// has only one digit for the cluster's number.
const maxClusters = 10

// Clusters starts Kubernetes clusters for one run of the testbed.
type Clusters struct {
	*run.Run

	mu      sync.Mutex
	started int
}

// StartCluster starts a cluster and returns when its node can run pods. Several goroutines may call
// it at the same time.
func (cs *Clusters) StartCluster(ctx context.Context, kind Kind) (*Cluster, error) {
	number, err := cs.nextCluster()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Kind: kind, run: cs.Run, number: number,
		Node:  fmt.Sprintf("node-%s-%d", cs.ID, number),
		dir:   filepath.Join(cs.Dir, fmt.Sprintf("cluster-%d-%s", number, kind)),
		audit: map[string]*auditLog{}, imported: map[string]bool{},
	}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, err
	}
	if c.CA, err = pki.NewAuthority("kubernetes " + string(kind)); err != nil {
		return nil, err
	}
	if c.network, err = newNodeNetwork(); err != nil {
		return nil, err
	}
	c.CA.Names = append([]string{cs.Address, c.network.Node.String()}, apiServiceNames...)
	c.CAFile = filepath.Join(c.dir, "ca.crt")
	if err := os.WriteFile(c.CAFile, c.CA.PEM, 0o644); err != nil {
		return nil, err
	}
	start := time.Now()
	for _, step := range []func(context.Context) error{
		// prepareNode leaves no program running; startNode starts containerd later, while the
		// control plane becomes ready
		c.prepareNode,
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
	fmt.Fprintf(cs.Log, "testbed: %s cluster is up in %.1f s\n", kind, time.Since(start).Seconds())
	return c, nil
}

func (cs *Clusters) nextCluster() (int, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.started == maxClusters {
		return 0, fmt.Errorf("testbed: a run cannot start more than %d clusters", maxClusters)
	}
	cs.started++
	return cs.started - 1, nil
}
