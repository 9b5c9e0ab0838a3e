package spdy_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/streaming/pkg/httpstream"

	"edge/streams"
	"edge/streams/spdy"
)

// A leg is one of the two connections of a relayed session, to the client or to the server. It
// writes frames and answers one after the other, and an answer before the frames that were written
// later.
type leg struct {
	conn net.Conn
	in   io.Reader

	mu      sync.Mutex // locked while writing
	queueMu sync.Mutex
	queue   []byte
}

func (l *leg) WriteRoom(b []byte, off int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.flush(); err != nil {
		return err
	}
	_, err := l.conn.Write(b[off:])
	return err
}

func (l *leg) flush() error {
	l.queueMu.Lock()
	b := l.queue
	l.queue = nil
	l.queueMu.Unlock()
	if len(b) == 0 {
		return nil
	}
	_, err := l.conn.Write(b)
	return err
}

func (l *leg) Pong(b []byte) { l.Reply(b) }

func (l *leg) Reply(b []byte) error {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	if len(l.queue) > 4096 {
		return streams.ErrReplies
	}
	l.queue = append(l.queue, b...)
	go func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.flush()
	}()
	return nil
}

// reader returns a Reader of the leg's bytes. Before a read that may block, it flushes the sink of
// the other leg, as edge's relay does.
func (l *leg) reader(sink func() streams.Sink) *streams.Reader {
	return streams.NewReader(l.in, func() error { return sink().Flush() })
}

// copyFrames copies frames from source to sink until an error, as edge's relay does.
func copyFrames(sink streams.Sink, source streams.Source) error {
	for {
		f, err := source.Next()
		if err != nil {
			sink.Flush()
			return err
		}
		if err := sink.Write(f); err != nil {
			return err
		}
	}
}

// relayExec relays an exec between a SPDY client (down) and a SPDY server (up).
func relayExec(down, up *leg, set streams.Set) error {
	var downSink, upSink streams.Sink
	downReader := down.reader(func() streams.Sink { return upSink })
	upReader := up.reader(func() streams.Sink { return downSink })
	downSource := spdy.NewExecDownstreamSource(downReader, down, set)
	upSource := spdy.NewExecUpstreamSource(upReader, up, set)
	client := spdy.NewExecUpstreamSink(up, set)
	downSink, upSink = spdy.NewExecDownstreamSink(down, downSource), client
	if err := client.Open(); err != nil {
		return err
	}
	for !downSource.Whole() {
		if f, err := downSource.Next(); err != nil || f.Kind != streams.Open {
			return fmt.Errorf("%s, %v before the set is whole", show(f), err)
		}
	}
	return both(down, up,
		func() error { return copyFrames(upSink, downSource) },
		func() error { return copyFrames(downSink, upSource) })
}

// relayPorts relays a port-forward between a SPDY client (down) and a SPDY server (up).
func relayPorts(down, up *leg, table *spdy.Table) error {
	downSink, upSink := spdy.NewRelaySink(down), spdy.NewRelaySink(up)
	downReader := down.reader(func() streams.Sink { return upSink })
	upReader := up.reader(func() streams.Sink { return downSink })
	return both(down, up,
		func() error { return copyFrames(upSink, spdy.NewRelaySource(downReader, down, spdy.Client, table)) },
		func() error { return copyFrames(downSink, spdy.NewRelaySource(upReader, up, spdy.Server, table)) })
}

// both runs the two copying loops of a session, one for each direction, and waits for their end. If
// one loop has not ended 2 s after the other, the function closes the two connections.
func both(down, up *leg, loops ...func() error) error {
	errc := make(chan error, len(loops))
	for _, loop := range loops {
		go func() { errc <- loop() }()
	}
	first := <-errc
	late := time.AfterFunc(2*time.Second, func() { down.conn.Close(); up.conn.Close() })
	defer late.Stop()
	halfClose(down.conn)
	halfClose(up.conn)
	second := <-errc
	var broken *streams.ProtocolError
	if errors.As(first, &broken) || !errors.As(second, &broken) {
		return first
	}
	return second
}

// ended checks that the gateway's relay ended because a connection ended: with io.EOF, or with a
// reset, because TCP resets a connection that its peer closes with unread bytes.
func ended(t *testing.T, g *gateway) {
	t.Helper()
	if err := <-g.ended; err != io.EOF && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the relay ended with %v", err)
	}
}

func halfClose(c net.Conn) {
	if r, ok := c.(*recorder); ok {
		c = r.Conn
	}
	if t, ok := c.(*net.TCPConn); ok {
		t.CloseWrite()
	}
}

// gateway is an HTTP proxy for upgrades. After the 101 it relays the session with edge's codecs on
// both sides, and stores the bytes of its connection to the client.
type gateway struct {
	t        testing.TB
	upstream string
	set      *streams.Set // streams of the exec; nil: the session is a port-forward
	table    spdy.Table
	ended    chan error

	sent, got bytes.Buffer // bytes to and from the client after the handshake
}

// newGateway starts a gateway in front of the upstream handler and returns its URL. The gateway
// stops at the end of the test.
func newGateway(t testing.TB, upstream http.Handler, set *streams.Set) (*gateway, *url.URL) {
	up := httptest.NewServer(upstream)
	g := &gateway{t: t, upstream: up.Listener.Addr().String(), set: set, ended: make(chan error, 1)}
	down := httptest.NewServer(g)
	t.Cleanup(func() { down.Close(); up.Close() })
	return g, must(url.Parse(down.URL))
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.ended <- g.serve(w, r)
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) error {
	upConn, err := net.Dial("tcp", g.upstream)
	if err != nil {
		return err
	}
	defer upConn.Close()
	if err := r.Write(upConn); err != nil {
		return err
	}
	upIn := bufio.NewReader(upConn)
	answer, err := http.ReadResponse(upIn, r)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("upstream answers %s", answer.Status)
	}
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n",
		spdy.Protocol, httpstream.HeaderProtocolVersion, answer.Header.Get(httpstream.HeaderProtocolVersion))
	rec := &recorder{Conn: conn, in: buf, read: &g.got, wrote: &g.sent}
	down, up := &leg{conn: rec, in: rec}, &leg{conn: upConn, in: upIn}
	if g.set == nil {
		return relayPorts(down, up, &g.table)
	}
	return relayExec(down, up, *g.set)
}

// recorder is a connection that stores the bytes that it reads and writes.
type recorder struct {
	net.Conn
	in          io.Reader
	read, wrote *bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.in.Read(b)
	r.read.Write(b[:n])
	return n, err
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote.Write(b)
	return r.Conn.Write(b)
}
