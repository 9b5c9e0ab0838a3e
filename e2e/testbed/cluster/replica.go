package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed/run"
)

// Replica is one more API server of a cluster. It can be stopped and started again at the same
// address.
type Replica struct {
	Access Access // only Server and CA are set
	Addr   string // host and port of Access.Server

	cluster *Cluster
	name    string
	argv    []string
	client  kubernetes.Interface

	mu      sync.Mutex
	process *run.Process // nil: the replica is stopped
}

// StartReplica starts one more API server, as StartAnotherAPIServer does, that a test can stop and
// start again.
func (c *Cluster) StartReplica(ctx context.Context, args ...string) (*Replica, error) {
	port, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	own := []string{"--secure-port=" + strconv.Itoa(port), "--audit-log-path=" + c.path(fmt.Sprintf("audit-%d.log", port))}
	config := rest.CopyConfig(c.Admin)
	config.Host = "https://" + run.Loopback(port)
	r := &Replica{
		Access: Access{Server: config.Host, CA: c.CA.PEM}, Addr: run.Loopback(port),
		cluster: c, name: fmt.Sprintf("apiserver-%d", port), argv: slices.Concat(c.apiArgs, own, args),
	}
	if r.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	c.run.OnClose(r.Kill)
	return r, r.Start(ctx)
}

// Start starts the replica and returns when it is ready.
func (r *Replica) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := run.Spawn(r.cluster.dir, r.name, r.argv)
	if err != nil {
		return err
	}
	r.process = p
	return run.Until(ctx, run.StartupTime, r.name, func(ctx context.Context) error {
		return r.client.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}, p)
}

// Stop sends SIGTERM, as a rolling update does, and returns when the replica has ended. After grace
// it kills the replica.
func (r *Replica) Stop(grace time.Duration) {
	if p := r.forget(); p != nil {
		p.Stop(grace)
	}
}

// Kill kills the replica, as a crash does.
func (r *Replica) Kill() {
	if p := r.forget(); p != nil {
		p.Kill()
	}
}

func (r *Replica) forget() *run.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.process
	r.process = nil
	return p
}
