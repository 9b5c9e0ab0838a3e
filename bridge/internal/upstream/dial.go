package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"time"

	"k8s.io/client-go/rest"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/roundtrip"
)

const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	tcpKeepAlive     = 15 * time.Second
)

// http1 is the name of HTTP/1.1 in ALPN. An upgrade is possible only over HTTP/1.1.
const http1 = "http/1.1"

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// A dialer opens connections to the API server, for plain requests and for upgrades.
type dialer struct {
	tcp     dialFunc
	address string      // HOST:PORT of the API server
	config  *tls.Config // TLS configuration of connections for upgrades
	metrics *roundtrip.Metrics
}

func newDialer(cfg *rest.Config, base *url.URL, config *tls.Config, m *roundtrip.Metrics) *dialer {
	d := &dialer{tcp: cfg.Dial, config: config.Clone(), metrics: m}
	if d.tcp == nil {
		d.tcp = (&net.Dialer{Timeout: dialTimeout, KeepAlive: tcpKeepAlive}).DialContext
	}
	port := base.Port()
	if port == "" {
		port = "443"
	}
	d.address = net.JoinHostPort(base.Hostname(), port)
	d.config.NextProtos = []string{http1}
	if d.config.ServerName == "" {
		d.config.ServerName = base.Hostname()
	}
	return d
}

// dial opens a connection without TLS, of a type that the relay can read without waiting.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.tcp(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return leg.Pollable(conn), nil
}

// dialTLS opens a TLS connection for an upgrade.
func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	config := d.config
	if address != d.address { // the parameter address is that of an HTTPS proxy, not the API server's
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		config = config.Clone()
		config.ServerName = host
	}
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		d.metrics.Connected(roundtrip.ForStreams, false, err)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secure := tls.Client(conn, config)
	err = secure.HandshakeContext(ctx)
	d.metrics.Connected(roundtrip.ForStreams, true, err)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}
