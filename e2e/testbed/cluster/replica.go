package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed/run"
)

// Replica is an additional API server of a cluster. A test can stop it and start it again at the
// same address.
type Replica struct {
	Access Access // the API server's address; only the fields Server and CA are set
	Addr   string // host:port of the URL in Access.Server

	cluster *Cluster
	name    string
	argv    []string
	client  kubernetes.Interface

	mu      sync.Mutex
	process *run.Process // the running API server; nil: it is stopped
}

// StartReplica starts an additional API server in the cluster and returns when it is ready. It has
// the arguments of the first API server, then args, which override them. A test can stop it and
// start it again, and should stop it at the test's end, because an idle API server uses much CPU
// time.
func (c *Cluster) StartReplica(ctx context.Context, args ...string) (*Replica, error) {
	port, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	own := []string{"--endpoint-reconciler-type=none", "--secure-port=" + strconv.Itoa(port), "--audit-log-path=" + c.path(fmt.Sprintf("audit-%d.log", port))}
	config := rest.CopyConfig(c.Admin)
	config.Host = "https://" + c.run.Reachable(port)
	r := &Replica{
		Access: Access{Server: config.Host, CA: c.CA.PEM}, Addr: c.run.Reachable(port),
		cluster: c, name: fmt.Sprintf("apiserver-%d", port), argv: slices.Concat(c.apiArgs, own, args),
	}
	if r.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	c.run.OnClose(r.Kill)
	return r, r.Start(ctx)
}

// Start starts the API server and returns when it is ready.
func (r *Replica) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := run.Spawn(r.cluster.dir, r.name, r.argv, lazyGC)
	if err != nil {
		return err
	}
	r.process = p
	return run.Until(ctx, run.StartupTime, r.name, func(ctx context.Context) error {
		return r.client.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}, p)
}

// Terminate sends SIGTERM to the API server and does not wait.
func (r *Replica) Terminate() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process.Signal(syscall.SIGTERM)
}

// Stop sends SIGTERM to the API server, as a rolling update does, and returns when it has ended. If
// it has not ended after the time grace, Stop kills it.
func (r *Replica) Stop(grace time.Duration) {
	if p := r.forget(); p != nil {
		p.Stop(grace)
	}
}

// Kill kills the API server, as in a crash.
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
