package network

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"time"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

// The functions in this file start load balancers between edge and API servers.

//go:embed apibalancer-tcp.cfg
var haproxyTCPConfig string

//go:embed apibalancer-http1.cfg
var haproxyHTTP1Config string

// StartTCPBalancer starts HAProxy as a TCP load balancer in front of several API servers of one
// cluster. It returns the load balancer's address.
func (n *Network) StartTCPBalancer(ctx context.Context, replicas ...*cluster.Replica) (cluster.Access, error) {
	var backends []string
	for _, r := range replicas {
		backends = append(backends, r.Addr)
	}
	to := replicas[0].Access
	var err error
	to.Server, err = n.startAPIBalancer(ctx, "tcp-balancer", haproxyTCPConfig, map[string]any{"Backends": backends})
	return to, err
}

// StartHTTP1Balancer starts HAProxy as a load balancer in front of a cluster's API server. The load
// balancer terminates TLS and supports only HTTP/1.1. It closes a connection that has been idle for
// the time idle.
func (n *Network) StartHTTP1Balancer(ctx context.Context, c *cluster.Cluster, idle time.Duration) (cluster.Access, error) {
	dir, err := os.MkdirTemp(n.Dir, "http1-balancer-")
	if err != nil {
		return cluster.Access{}, err
	}
	pair, err := n.CA.Issue("load balancer")
	if err != nil {
		return cluster.Access{}, err
	}
	both := filepath.Join(dir, "tls.pem") // HAProxy reads the certificate and its key from one file
	if err := os.WriteFile(both, append(pair.Cert, pair.Key...), 0o600); err != nil {
		return cluster.Access{}, err
	}
	server, err := n.startAPIBalancer(ctx, "http1-balancer", haproxyHTTP1Config, map[string]any{
		"Cert": both, "Backend": c.URL[len("https://"):], "BackendCA": c.CAFile, "Idle": fmt.Sprintf("%dms", idle.Milliseconds()),
	})
	return cluster.Access{Server: server, CA: n.CA.PEM}, err
}

// startAPIBalancer starts HAProxy with the configuration template config. It returns HAProxy's URL
// when HAProxy accepts connections.
func (n *Network) startAPIBalancer(ctx context.Context, name, config string, values map[string]any) (string, error) {
	port, err := run.FreePort()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(n.Dir, fmt.Sprintf("%s-%d", name, port))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	values = maps.Clone(values)
	values["Port"] = port
	file := filepath.Join(dir, "haproxy.conf")
	if err := run.Render(file, config, values); err != nil {
		return "", err
	}
	process, err := run.Spawn(dir, name, []string{n.Bin.HAProxy, "-db", "-f", file})
	if err != nil {
		return "", err
	}
	n.OnClose(process.Kill)
	return "https://" + run.Loopback(port), run.Until(ctx, run.StartupTime, name, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", run.Loopback(port))
		if err != nil {
			return err
		}
		return conn.Close()
	}, process)
}
