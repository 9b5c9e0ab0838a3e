package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
)

// dialer opens TLS connections to the server under test.
type dialer struct {
	address string // address of the server as host:port
	config  *tls.Config
	net     net.Dialer
}

// dial connects to the server under test and completes the TLS handshake, unless ctx ends first.
func (d *dialer) dial(ctx context.Context) (*tls.Conn, error) {
	raw, err := d.net.DialContext(ctx, "tcp", d.address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, faultf(classTimeout, "dial: %w", ctx.Err())
		}
		return nil, &fault{classDial, err}
	}
	conn := tls.Client(raw, d.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if ctx.Err() != nil {
			return nil, faultf(classTimeout, "TLS handshake: %w", ctx.Err())
		}
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
			return nil, faultf(classTLS, "%w; set --certificate-authority to the CA that signed the server's certificate", err)
		}
		return nil, &fault{classTLS, err}
	}
	return conn, nil
}

// hostPort returns the address of the server in the URL u, with port 443 if u has no port.
func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), "443")
}
