package serving

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns a self-signed certificate with its key.
var pair = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// bed is a test bed: a Server together with the function by which clients connect to it.
type bed struct {
	*testing.T
	*Server
	dial func() net.Conn
}

// pipes is a listener of net.Pipe connections, which work with the fake clock of synctest.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// piped starts a Server on pipes, for tests with synctest.
func piped(t *testing.T, handler http.HandlerFunc, cfg Config) *bed {
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	return serveOn(t, l, handler, cfg, func() net.Conn {
		client, server := net.Pipe()
		l.conns <- server
		return client
	})
}

func start(t *testing.T, handler http.HandlerFunc, cfg Config) *bed {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, handler, cfg, func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	})
}

func serveOn(t *testing.T, l net.Listener, handler http.HandlerFunc, cfg Config, dial func() net.Conn) *bed {
	if cfg.TLS == nil {
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{pair()}, NextProtos: []string{"h2", "http/1.1"}}
	}
	if cfg.HTTP2Streams == 0 {
		cfg.HTTP2Streams = 100
	}
	base := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, MaxHeaderBytes: 1 << 20, ErrorLog: log.New(io.Discard, "", 0)}
	b := &bed{T: t, Server: New(base, cfg), dial: dial}
	served := make(chan error, 1)
	go func() { served <- b.Serve(l) }()
	t.Cleanup(func() {
		b.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		<-b.conns.close() // wait until no connection is left: net/http ends some of them a moment after Close
	})
	return b
}

// client is one client connection after its TLS handshake.
type client struct {
	*bed
	*tls.Conn
	read *bufio.Reader
}

func (b *bed) client(protocol string, certificates ...[]byte) *client {
	b.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
	if certificates != nil {
		cfg.Certificates = []tls.Certificate{{Certificate: certificates, PrivateKey: pair().PrivateKey}}
	}
	conn := tls.Client(b.dial(), cfg)
	if err := conn.Handshake(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.NetConn().Close() })
	return &client{b, conn, bufio.NewReader(conn)}
}

// get sends one HTTP/1.1 request, reads the answer, and leaves the connection open.
func (c *client) get(path string, lines ...string) (*http.Response, string) {
	c.bed.Helper()
	if err := c.send(path, lines...); err != nil {
		c.Fatal(err)
	}
	return c.answer()
}

func (c *client) send(path string, lines ...string) error {
	var more string
	for _, line := range lines {
		more += line + "\r\n"
	}
	_, err := io.WriteString(c.Conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n"+more+"\r\n")
	return err
}

func (c *client) answer() (*http.Response, string) {
	c.bed.Helper()
	resp, err := http.ReadResponse(c.read, nil)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.Fatal(err)
	}
	return resp, string(body)
}

// ended waits until the server has ended the connection.
func (c *client) ended() {
	_, err := io.Copy(io.Discard, c.read)
	_ = err // the connection may end with a close or a reset
}

// overHTTP2 returns a client that sends all its requests on one HTTP/2 connection.
func (b *bed) overHTTP2() *http2.ClientConn {
	c := b.client("h2")
	h2, err := new(http2.Transport).NewClientConn(c.Conn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h2.Close() })
	return h2
}

func ask(ctx context.Context, to http.RoundTripper, path string, header ...string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://x"+path, nil)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := to.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// gate authenticates requests as package main's gate does: it accepts the token "good" and refuses
// any other token, but lets requests without a token pass.
func gate(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer good":
			Of(r).Authenticated()
		case "": // a request without a token is anonymous
		default:
			Of(r).Refused()
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

const good, bad = "Authorization: Bearer good", "Authorization: Bearer bad"

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }
