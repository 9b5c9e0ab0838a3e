package roundtrip_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edge/bridge/internal/roundtrip"
	"edge/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// certificate is the test servers' certificate. Clients do not verify it.
var certificate = testkit.ServerCertificate()

// network is the network in which a Transport under test opens connections. Each connection is a
// pipe, and serve is called with the server's end.
type network struct {
	t      testing.TB
	serve  func(n int, c *tls.Conn) // called for the n-th connection; n counts from 1
	protos []string

	mu    sync.Mutex
	conns []*mortal
	work  sync.WaitGroup
}

func (n *network) dial(context.Context, string, string) (net.Conn, error) {
	client, server := newPipe()
	n.mu.Lock()
	defer n.mu.Unlock()
	m := newMortal(client)
	n.conns = append(n.conns, m)
	number := len(n.conns)
	n.work.Go(func() {
		c := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: n.protos, SessionTicketsDisabled: true})
		defer c.Close()
		if c.Handshake() == nil {
			n.serve(number, c)
		}
	})
	return m, nil
}

func (n *network) dials() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

func (n *network) conn(i int) *mortal {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conns[i-1]
}

// newNetwork returns a Transport and its network of HTTP/2 servers, and stops both at the end of
// the test.
func newNetwork(t testing.TB, serve func(n int, c *tls.Conn), change ...func(*roundtrip.Config)) (*network, *roundtrip.Transport) {
	n := &network{t: t, serve: serve, protos: []string{"h2"}}
	tr := newTransport(t, "https://api.test", append([]func(*roundtrip.Config){func(c *roundtrip.Config) { c.Dial = n.dial }}, change...)...)
	t.Cleanup(func() {
		tr.Close()
		n.mu.Lock()
		for _, c := range n.conns {
			c.Close()
		}
		n.mu.Unlock()
		n.work.Wait()
	})
	return n, tr
}

func newTransport(t testing.TB, base string, change ...func(*roundtrip.Config)) *roundtrip.Transport {
	cfg := roundtrip.Config{
		Base: must(url.Parse(base)), Dial: new(net.Dialer).DialContext, TLS: &tls.Config{InsecureSkipVerify: true}, Doubt: new(roundtrip.Doubt),
		Endless: func(r *http.Request) bool { return r.URL.Query().Has("watch") },
	}
	for _, c := range change {
		c(&cfg)
	}
	tr := must(roundtrip.New(cfg))
	t.Cleanup(tr.Close)
	return tr
}

// genuine serves HTTP/2 on a connection with Go's own server.
func genuine(h http.HandlerFunc) func(int, *tls.Conn) {
	return func(_ int, c *tls.Conn) {
		testkit.HTTP2Server(0).ServeConn(c, &http2.ServeConnOpts{Handler: h})
	}
}

// mortal is the client's end of a connection to a server. It can become silent, as if the server's
// machine had died, and wake up again.
type mortal struct {
	net.Conn
	once   sync.Once
	closed chan struct{}

	mu      sync.Mutex
	silence chan struct{} // open while the connection is silent, else closed
	kept    []byte
}

func newMortal(c net.Conn) *mortal {
	m := &mortal{Conn: c, closed: make(chan struct{}), silence: make(chan struct{})}
	close(m.silence)
	return m
}

func (m *mortal) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silence = make(chan struct{})
}

func (m *mortal) wake() {
	close(m.state())
	m.Write(nil)
}

func (m *mortal) state() chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.silence
}

func (m *mortal) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	select {
	case <-m.state():
		return n, err
	case <-m.closed:
		return 0, net.ErrClosed
	}
}

// Write stores what the client writes while the connection is silent, and sends it when the
// connection wakes up.
func (m *mortal) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.silence:
		_, err := m.Conn.Write(append(m.kept, b...))
		m.kept = nil
		return len(b), err
	default:
		m.kept = append(m.kept, b...)
	}
	return len(b), nil
}

func (m *mortal) Close() error {
	m.once.Do(func() { close(m.closed) })
	return m.Conn.Close()
}

// played is an HTTP/2 server whose frames the test chooses.
type played struct {
	*http2.Framer
	c      *tls.Conn
	stream uint32 // stream id of the newest request
	body   []byte
}

// play reads the requests on one connection and calls answer after each complete request. It stops
// when answer returns false.
func play(c *tls.Conn, answer func(p *played, nth int) bool) {
	p := &played{Framer: http2.NewFramer(c, c), c: c}
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	p.WriteSettings()
	var body bytes.Buffer
	for nth := 1; ; {
		f, err := p.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			p.stream = f.StreamID
			body.Reset()
			ended = f.StreamEnded()
		case *http2.DataFrame:
			body.Write(f.Data())
			ended = f.StreamEnded()
		case *http2.PingFrame:
			if !f.IsAck() {
				p.WritePing(true, f.Data)
			}
		}
		if ended {
			p.body = body.Bytes()
			if !answer(p, nth) {
				return
			}
			nth++
		}
	}
}

// ok answers the newest request with 200.
func (p *played) ok() bool {
	var block bytes.Buffer
	hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: p.stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	return true
}

// linger reads from the client until the client ends the connection.
func (p *played) linger() bool {
	io.Copy(io.Discard, p.c)
	return false
}

func get(path string) *http.Request {
	return must(http.NewRequest("GET", "https://api.test"+path, nil))
}

// read returns the body of an answer, and closes it.
func read(resp *http.Response) string {
	defer resp.Body.Close()
	return string(must(io.ReadAll(resp.Body)))
}
