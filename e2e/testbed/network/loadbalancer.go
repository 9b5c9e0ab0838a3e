package network

import (
	"context"
	"crypto/tls"
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

//go:embed loadbalancer.cfg
var haproxyConfig string

//go:embed nginx.conf
var nginxConfig string

// LoadBalancer is a running reverse proxy in front of a server. It forwards WebSocket but not SPDY.
type LoadBalancer struct {
	URL string
	CA  []byte // PEM certificates of the authorities that a client of the load balancer must trust
	// Away is another URL of HAProxy, at an address that is not a loopback address: clients use no
	// HTTP proxy for those.
	Away string
}

// Access returns the load balancer's address and a credential, for a client that connects to the
// load balancer with this token.
func (b *LoadBalancer) Access(token string) cluster.Access {
	return cluster.Access{Server: b.URL, CA: b.CA, Token: token}
}

// StartALB starts HAProxy, configured like an AWS Application Load Balancer, in front of a server.
// backend is the server's host:port; the server must support TLS and have a certificate of the
// testbed's CA.
func (n *Network) StartALB(ctx context.Context, backend string) (*LoadBalancer, error) {
	return n.startALB(ctx, backend, n.CA.PEM)
}

// StartClusterALB starts a load balancer like StartALB's, but in front of a cluster's API server,
// without edge.
func (n *Network) StartClusterALB(ctx context.Context, c *cluster.Cluster) (*LoadBalancer, error) {
	return n.startALB(ctx, strings.TrimPrefix(c.URL, "https://"), c.CA.PEM)
}

func (n *Network) startALB(ctx context.Context, backend string, backendCA []byte) (*LoadBalancer, error) {
	return n.startLoadBalancer(ctx, backend, backendCA, "alb", haproxyConfig, func(config string) []string {
		return []string{n.Bin.HAProxy, "-db", "-f", config}
	})
}

// StartNginx starts nginx, configured like a Kubernetes ingress, in front of a server. backend is
// the server's host:port; the server must support TLS and have a certificate of the testbed's CA.
func (n *Network) StartNginx(ctx context.Context, backend string) (*LoadBalancer, error) {
	return n.startLoadBalancer(ctx, backend, n.CA.PEM, "nginx", nginxConfig, func(config string) []string {
		return []string{n.Bin.Nginx, "-p", filepath.Dir(config), "-e", "stderr", "-c", config}
	})
}

func (n *Network) startLoadBalancer(
	ctx context.Context, backend string, backendCA []byte, name, config string, command func(config string) []string,
) (*LoadBalancer, error) {
	port, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(n.Dir, fmt.Sprintf("%s-%d", name, port))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	pair, err := n.CA.Issue("load balancer")
	if err != nil {
		return nil, err
	}
	both := filepath.Join(dir, "tls.pem") // HAProxy reads the certificate and its key from one file
	if err := os.WriteFile(both, append(pair.Cert, pair.Key...), 0o600); err != nil {
		return nil, err
	}
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, backendCA, 0o644); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, name+".conf")
	if err := run.Render(file, config, map[string]any{"Port": port, "Cert": both, "Backend": backend, "BackendCA": ca, "Address": n.Address}); err != nil {
		return nil, err
	}
	process, err := run.Spawn(dir, name, command(file))
	if err != nil {
		return nil, err
	}
	n.OnClose(process.Kill)
	b := &LoadBalancer{URL: "https://" + run.Loopback(port), Away: "https://" + n.Reachable(port), CA: n.CA.PEM}
	return b, run.Until(ctx, run.StartupTime, name, func(ctx context.Context) error {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: n.CA.Pool()}, NetDialer: &net.Dialer{}}
		conn, err := dialer.DialContext(ctx, "tcp", run.Loopback(port))
		if err != nil {
			return err
		}
		return conn.Close()
	}, process)
}
