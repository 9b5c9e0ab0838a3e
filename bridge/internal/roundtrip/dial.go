package roundtrip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http2"
)

const (
	// dialTime is the timeout for each step of a new connection: TCP, the proxy's answer, TLS.
	dialTime = 10 * time.Second
	http1    = "http/1.1"
)

// connect opens a connection to the API server and completes the TLS handshake, with ALPN.
func (t *Transport) connect(ctx context.Context) (*tls.Conn, error) {
	conn, err := t.reach(ctx)
	if err != nil {
		t.cfg.Metrics.Connected(ForRequests, false, err)
		return nil, err
	}
	config := t.cfg.TLS.Clone()
	config.NextProtos = []string{http2.NextProtoTLS, http1}
	if config.ServerName == "" {
		config.ServerName = t.host
	}
	c, err := handshake(ctx, conn, config)
	t.cfg.Metrics.Connected(ForRequests, true, err)
	return c, err
}

// reach opens the connection below TLS, through a proxy if one is configured.
func (t *Transport) reach(ctx context.Context) (net.Conn, error) {
	var via *url.URL
	if t.cfg.Proxy != nil {
		var err error
		if via, err = t.cfg.Proxy(&http.Request{Method: http.MethodGet, URL: t.base, Header: http.Header{}}); err != nil {
			return nil, err
		}
	}
	if via == nil {
		return t.dial(ctx, "tcp", t.address)
	}
	conn, err := t.reachBy(ctx, via)
	if err != nil {
		return nil, fmt.Errorf("upstream: connecting through the proxy: %w", err)
	}
	return conn, nil
}

func (t *Transport) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return t.cfg.Dial(ctx, network, address)
}

func handshake(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	c := tls.Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// isFinal reports whether another attempt to connect to the API server would fail with the same
// error.
func isFinal(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate) || isTimeout(err) || errors.Is(err, errProxyRefused) || errors.Is(err, errFull) || errors.Is(err, errClosed)
}
