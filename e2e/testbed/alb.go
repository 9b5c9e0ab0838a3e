package testbed

import (
	"context"
	"crypto/tls"
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

//go:embed haproxy.cfg
var haproxyConfig string

// ALB is a load balancer that carries no SPDY.
type ALB struct {
	URL string
	CA  []byte // PEM

	process *Process
}

// StartALB starts a load balancer in front of backend, a host:port that speaks TLS with a certificate of the testbed's CA.
func (tb *Testbed) StartALB(ctx context.Context, backend string) (*ALB, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(tb.Dir, fmt.Sprintf("alb-%d", port))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	pair, err := tb.CA.Issue("load balancer")
	if err != nil {
		return nil, err
	}
	both := filepath.Join(dir, "tls.pem") // HAProxy wants certificate and key in one file
	if err := os.WriteFile(both, append(pair.Cert, pair.Key...), 0o600); err != nil {
		return nil, err
	}
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, tb.CA.PEM, 0o644); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "haproxy.cfg")
	err = render(config, haproxyConfig, map[string]any{"Port": port, "Cert": both, "Backend": backend, "BackendCA": ca})
	if err != nil {
		return nil, err
	}
	a := &ALB{URL: "https://" + loopback(port), CA: tb.CA.PEM}
	if a.process, err = spawn(dir, "haproxy", []string{tb.Bin.HAProxy, "-db", "-f", config}); err != nil {
		return nil, err
	}
	tb.onClose(a.process.Kill)
	return a, until(ctx, startupTime, "load balancer", func(ctx context.Context) error {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: tb.CA.Pool()}, NetDialer: &net.Dialer{}}
		conn, err := dialer.DialContext(ctx, "tcp", loopback(port))
		if err != nil {
			return err
		}
		return conn.Close()
	}, a.process)
}
