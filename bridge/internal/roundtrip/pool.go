package roundtrip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"edge/internal/stack"
)

const (
	// mostConnections limits the connections of one Transport, including those that get no new
	// requests and only finish their current ones. Without HTTP/2 each request has its own
	// connection. The process often has fewer file descriptors than this. Above the limit, a
	// request fails with ErrNothingDone.
	mostConnections = 1 << 15
	// mostWaiters limits the requests that wait for one new connection; for one more request edge
	// opens another connection. 100 is the number of streams that x/net allows before the peer's
	// SETTINGS arrive.
	mostWaiters = 100
)

// A pool holds the HTTP/2 connections that have the same receive window.
type pool struct {
	t  *Transport
	h2 *http2.Transport

	mu      sync.Mutex
	conns   []*conn      // the connections that may get new requests
	pending *pendingConn // the newest of the connections being opened
}

// A pendingConn is a connection that is being opened. Only one request may use it before the peer's
// SETTINGS arrive, because they state how many streams the peer allows.
type pendingConn struct {
	made    chan struct{} // closed, before the field done, when the connection is open or failed
	done    chan struct{} // closed when the peer's SETTINGS have arrived or dialTime is over
	err     error         // why the connection failed; valid after the field made is closed
	waiters int           // number of requests that wait for this connection
}

// A sender is a connection that has capacity reserved for one request. roundTrip sends the request
// once, with body.
type sender interface {
	roundTrip(req *http.Request, body io.ReadCloser) (*http.Response, verdict, error)
}

// get reserves capacity for one request on a connection. Several requests may wait for one new
// connection, and each stops waiting when its ctx ends. The parameter lost is true if the
// connection of the request's previous attempt broke. Then, without HTTP/2, the request gets a new
// connection, because the idle connections may be broken too.
func (p *pool) get(ctx context.Context, lost bool) (sender, error) {
	for {
		if !lost {
			if h := p.t.singles.take(); h != nil {
				return h, nil
			}
		}
		c, d, err := p.reserve()
		switch {
		case err != nil:
			return nil, err
		case c != nil:
			return c, nil
		case d == nil: // no HTTP/2: each request has a connection to itself
			s, err := p.alone(ctx)
			if s != nil || err != nil {
				return s, err
			}
			continue
		}
		s, err := p.await(ctx, d)
		if s != nil || err != nil {
			return s, err
		}
	}
}

// await waits until the connection d is open. It returns nil, nil if d has no capacity left. The
// caller then looks for another connection.
func (p *pool) await(ctx context.Context, d *pendingConn) (sender, error) {
	for _, stage := range []chan struct{}{d.made, d.done} {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-stage:
		}
		if d.err != nil {
			return nil, d.err
		}
		if c := p.place(); c != nil {
			return c, nil
		}
	}
	return nil, nil
}

// place returns an open connection on which it has reserved capacity for one request. It returns
// nil if no connection has capacity.
func (p *pool) place() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.placeLocked()
}

func (p *pool) placeLocked() *conn {
	since := p.t.cfg.Doubt.Since()
	for _, c := range p.conns {
		if !c.link.suspect.Load() && !c.link.broken.Load() && !c.link.readAt().Before(since) && c.isOpen() && c.cc.ReserveNewRequest() {
			return c
		}
	}
	return nil
}

// isOpen reports whether c may get a request. Before the peer's SETTINGS arrive, c may get only
// one. The caller holds pool.mu.
func (c *conn) isOpen() bool {
	select {
	case <-c.link.settled:
		return true
	default:
	}
	first := !c.early
	c.early = true
	return first
}

// reserve returns an open connection on which it has reserved capacity for one request, or else a
// pendingConn to wait for. It returns nil for both if the API server or a load balancer before it
// does not offer HTTP/2.
func (p *pool) reserve() (*conn, *pendingConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.placeLocked(); c != nil {
		return c, nil, nil
	}
	if p.t.singles.only.Load() {
		return nil, nil, nil
	}
	d := p.pending
	if d == nil || d.waiters >= mostWaiters {
		d = &pendingConn{made: make(chan struct{}), done: make(chan struct{})}
		if err := p.t.start(func() { p.make(d) }); err != nil {
			return nil, nil, err
		}
		p.pending = d
	}
	d.waiters++
	return nil, d, nil
}

// make opens the connection d, on a goroutine of its own. It does not stop when the requests that
// wait for d have ended, because later requests can use the connection.
func (p *pool) make(d *pendingConn) {
	c, h, err := p.open()
	if h != nil {
		h.pool.put(h)
	}
	d.err = err
	if c == nil {
		p.forget(d) // before its waiters try again, because they would find it once more
	}
	close(d.made)
	if c != nil {
		timer := time.NewTimer(dialTime)
		defer timer.Stop()
		select {
		case <-c.link.settled:
		case <-timer.C: // no SETTINGS arrived: the health check closes a silent connection
		case <-p.t.ctx.Done():
		}
	}
	p.forget(d)
	close(d.done)
}

// forget makes sure that no further request waits for d.
func (p *pool) forget(d *pendingConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending == d {
		p.pending = nil
	}
}

// alone opens an HTTP/1.1 connection for one request. If ctx ends first, the connection becomes
// idle for other requests. alone returns nil, nil if the API server now offers HTTP/2.
func (p *pool) alone(ctx context.Context) (sender, error) {
	type made struct {
		h   *http1Conn
		err error
	}
	result := make(chan made)
	err := p.t.start(func() {
		_, h, err := p.open()
		if h != nil {
			err = h.cc.Reserve()
		}
		select {
		case result <- made{h, err}:
		case <-ctx.Done():
			if h != nil && err == nil {
				h.cc.Release()
				h.pool.put(h)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case m := <-result:
		if m.h == nil || m.err != nil {
			return nil, m.err
		}
		return m.h, nil
	}
}

// open opens a connection and returns it as a conn or, without HTTP/2, as an http1Conn. The caller
// has already counted the connection in Transport.count.
func (p *pool) open() (*conn, *http1Conn, error) {
	c, err := p.t.connect(p.t.ctx)
	if err != nil {
		p.t.count.Add(-1)
		return nil, nil, err
	}
	only := c.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS
	p.t.singles.only.Store(only)
	if only {
		h, err := p.t.singles.open(c)
		return nil, h, err
	}
	shared, err := p.adopt(c)
	return shared, nil, err
}

// A conn is an HTTP/2 connection of a pool.
type conn struct {
	pool *pool
	link *link
	cc   *http2.ClientConn
	health
	early bool // true: a request was sent before the peer's SETTINGS arrived; guarded by pool.mu
}

func (p *pool) adopt(t *tls.Conn) (*conn, error) {
	c := &conn{pool: p}
	c.link = newLink(t, func() { p.drop(c) }, func() {
		p.drop(c)
		p.t.count.Add(-1)
		p.t.cfg.Metrics.add(protocolHTTP2, -1)
		c.stop()
	})
	p.t.cfg.Metrics.add(protocolHTTP2, 1)
	go c.link.writeLoop()
	c.health.link, c.health.lost = c.link, c.lost
	c.health.slow = p.t.cfg.Doubt.late
	c.health.ping = func(ctx context.Context) error { return c.cc.Ping(ctx) }
	var err error
	if c.cc, err = p.h2.NewClientConn(c.link); err != nil {
		c.link.Close()
		return nil, err
	}
	c.start()
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.link.last.Load() < 0 && !c.link.broken.Load() { // no GOAWAY and no error so far: c may get requests
		p.conns = append(p.conns, c)
	}
	return c, nil
}

// lost closes the connection c, whose peer is silent.
func (c *conn) lost() {
	c.pool.t.cfg.Metrics.lost()
	c.link.cut()
	c.cc.Close()
}

// drop removes c from the pool's list of connections, so that c gets no new requests.
func (p *pool) drop(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.conns, c); i >= 0 {
		p.conns = slices.Delete(p.conns, i, i+1)
	}
}

// closeIdle closes the connections without requests. The other connections get no new requests, and
// are closed after their last request.
func (p *pool) closeIdle() {
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, c := range conns {
		c.cc.SetDoNotReuse()
		if s := c.cc.State(); s.StreamsActive+s.StreamsReserved+s.StreamsPending == 0 {
			c.cc.Close()
		}
	}
}

// An attempt is one attempt to send a request on an HTTP/2 connection. Its stream is set when x/net
// writes the request.
type attempt struct {
	trace  httptrace.ClientTrace
	link   *link
	stream atomic.Uint32 // id of the request's stream; 0: no byte of the request was written
}

// wrote is x/net's callback WroteHeaders: the request's HEADERS were written, or writing them
// failed. x/net still holds its write lock, so that no other request can write. If the newest
// stream already belongs to another attempt, this request's HEADERS were not written.
func (a *attempt) wrote() {
	if id := a.link.opened.Load(); id != a.link.claimed {
		a.link.claimed = id
		a.stream.Store(id)
	}
}

// encodingStack is the stack space that x/net needs to encode a header, in bytes.
const encodingStack = 4 << 10

// roomyContext is the context of a request whose header x/net is to write. x/net starts a goroutine
// for that. It calls Done there before any other call nests: the place to make room on the stack.
// Otherwise the stack would grow where HPACK drops an old header field, at the innermost call.
type roomyContext struct{ context.Context }

// Done implements context.Context.
func (c roomyContext) Done() <-chan struct{} {
	stack.Grow[[encodingStack]byte]()
	return c.Context.Done()
}

// roundTrip sends req on c. The caller has reserved capacity for it.
func (c *conn) roundTrip(req *http.Request, body io.ReadCloser) (*http.Response, verdict, error) {
	a := &attempt{link: c.link}
	a.trace.WroteHeaders = a.wrote
	out := req.WithContext(roomyContext{httptrace.WithClientTrace(req.Context(), &a.trace)})
	out.Body, out.GetBody = body, nil
	c.begin()
	resp, err := c.cc.RoundTrip(out)
	c.end()
	if err == nil {
		return resp, answered, nil
	}
	id, last := a.stream.Load(), c.link.last.Load()
	goaway := last >= 0 // a GOAWAY arrived: no stream above the number last is processed
	if id == 0 {
		if goaway || c.link.broken.Load() || !c.cc.CanTakeNewRequest() {
			return nil, untaken, err
		}
		return nil, unfit, err
	}
	var reset http2.StreamError
	switch {
	case goaway && int64(id) > last:
		return nil, untaken, err
	case errors.As(err, &reset) && reset.Code == http2.ErrCodeRefusedStream:
		return nil, untaken, err
	case c.silent.Load():
		return nil, broken, fmt.Errorf("%w: %w", ErrSilent, err)
	case c.link.broken.Load():
		return nil, broken, err
	}
	return nil, failed, err
}
