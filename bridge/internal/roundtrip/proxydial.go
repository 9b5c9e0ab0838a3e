package roundtrip

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

// proxyAnswer limits the header, in bytes, with which an HTTP proxy answers CONNECT.
const proxyAnswer = 64 << 10

// dialFunc turns a function into a proxy.ContextDialer.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

func (f dialFunc) Dial(network, address string) (net.Conn, error) {
	return f(context.Background(), network, address)
}

// reachBy connects through the proxy via. It supports the same proxy schemes as net/http.
func (t *Transport) reachBy(ctx context.Context, via *url.URL) (net.Conn, error) {
	switch via.Scheme {
	case "http", "https":
	case "socks5", "socks5h":
		d, err := proxy.FromURL(via, dialFunc(t.dial))
		if err != nil {
			return nil, err
		}
		return d.(proxy.ContextDialer).DialContext(ctx, "tcp", t.address)
	default:
		return nil, fmt.Errorf("unsupported proxy URL scheme %q", via.Scheme)
	}
	port := via.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[via.Scheme]
	}
	conn, err := t.dial(ctx, "tcp", net.JoinHostPort(via.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if via.Scheme == "https" {
		config := t.cfg.TLS.Clone()
		config.ServerName, config.NextProtos = via.Hostname(), nil
		if conn, err = handshake(ctx, conn, config); err != nil {
			return nil, err
		}
	}
	if err := tunnel(ctx, conn, via, t.address); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// tunnel sends CONNECT to an HTTP proxy and reads the answer. After a 200, conn is a connection to
// address.
func tunnel(ctx context.Context, conn net.Conn, via *url.URL, address string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	unhook := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if u := via.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	answer, err := func() (*http.Response, error) {
		if err := req.Write(conn); err != nil {
			return nil, err
		}
		// The bytes that follow the proxy's answer are TLS. The TLS client sends first, so the
		// bufio.Reader has read none of them.
		return http.ReadResponse(bufio.NewReader(io.LimitReader(conn, proxyAnswer)), req)
	}() //nolint:bodyclose // the body is the connection
	switch {
	case !unhook():
		return context.Cause(ctx)
	case err != nil:
		return err
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("%w %q", errProxyRefused, answer.Status)
	}
	return nil
}
