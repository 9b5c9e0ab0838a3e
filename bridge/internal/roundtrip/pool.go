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
)

const (
	// mostConnections bounds a Transport's, drained ones included: without HTTP/2 each request has one, and the
	// descriptors of the process are usually fewer. Past it a request is told that nothing was done.
	mostConnections = 1 << 15
	// mostWaiters is how many requests wait for one new connection; one more has another one made. It is the number of
	// streams that HTTP/2 may have before the peer has said its own.
	mostWaiters = 100
)

// A pool has the HTTP/2 connections with one receive window.
type pool struct {
	t  *Transport
	h2 *http2.Transport

	mu      sync.Mutex
	conns   []*conn      // that may take something new
	pending *pendingConn // the newest of those that are being made
}

// A pendingConn is a connection that is being made. One request may use it before the peer's SETTINGS are there, which
// say how many may.
type pendingConn struct {
	made    chan struct{} // closed before done is
	done    chan struct{}
	err     error // once made
	waiters int
}

// A sender is a connection with a place for one request, which it sends once with this body.
type sender interface {
	roundTrip(req *http.Request, body io.ReadCloser) (*http.Response, verdict, error)
}

// get reserves a place on a connection. Requests share the wait for a new one, and each may leave. Without HTTP/2 a request
// that has lost its connection gets a new one: those that are kept may have met the same end.
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
		case d == nil: // each has its own
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

// await waits for d; it gives none where the request is to look again.
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

// place takes one on a connection that is there; nil: there is none.
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

// isOpen tells whether a request may go there: any after SETTINGS, and one before. It is called with the pool's mu held.
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

// reserve gives a connection with a place that is taken, or the one in the making to wait for, or none of both where
// the API server's side is without HTTP/2.
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

// make is the one goroutine of d. It goes on when all who waited have left: the next request has use for it.
func (p *pool) make(d *pendingConn) {
	c, h, err := p.open()
	if h != nil {
		h.pool.put(h)
	}
	d.err = err
	close(d.made)
	if c != nil {
		timer := time.NewTimer(dialTime)
		defer timer.Stop()
		select {
		case <-c.link.settled:
		case <-timer.C: // its health is looked after
		case <-p.t.ctx.Done():
		}
	}
	p.mu.Lock()
	if p.pending == d {
		p.pending = nil
	}
	p.mu.Unlock()
	close(d.done)
}

// alone makes a connection for one request. If that leaves, the connection is for others. It gives none where the
// API server's side has learned HTTP/2.
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

// open makes a connection, which is counted already, of one kind or the other.
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

// A conn is a connection with HTTP/2.
type conn struct {
	pool *pool
	link *link
	cc   *http2.ClientConn
	health
	early bool // a request went there before the peer's SETTINGS; guarded by pool.mu
}

func (p *pool) adopt(t *tls.Conn) (*conn, error) {
	c := &conn{pool: p}
	c.link = newLink(t, func() { p.drop(c) }, func() {
		p.drop(c)
		p.t.count.Add(-1)
		c.stop()
	})
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
	if c.link.last.Load() < 0 && !c.link.broken.Load() { // it may have come to its end already
		p.conns = append(p.conns, c)
	}
	return c, nil
}

// lost closes a silent connection.
func (c *conn) lost() {
	c.link.cut()
	c.cc.Close()
}

// drop takes a connection off the list: it takes nothing new.
func (p *pool) drop(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.conns, c); i >= 0 {
		p.conns = slices.Delete(p.conns, i, i+1)
	}
}

// closeIdle closes what nobody uses; what is in use takes nothing new, and is closed after that.
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

// An attempt is one try on one connection of HTTP/2.
type attempt struct {
	trace  httptrace.ClientTrace
	link   *link
	stream atomic.Uint32 // 0: nothing of it was written
}

// wrote is called after the request's HEADERS were written, or should have been, while nothing else can be written.
func (a *attempt) wrote() {
	if id := a.link.opened.Load(); id != a.link.claimed {
		a.link.claimed = id
		a.stream.Store(id)
	}
}

// roundTrip sends req, for which a place is reserved.
func (c *conn) roundTrip(req *http.Request, body io.ReadCloser) (*http.Response, verdict, error) {
	a := &attempt{link: c.link}
	a.trace.WroteHeaders = a.wrote
	out := req.WithContext(httptrace.WithClientTrace(req.Context(), &a.trace))
	out.Body, out.GetBody = body, nil
	c.begin()
	resp, err := c.cc.RoundTrip(out)
	c.end()
	if err == nil {
		return resp, answered, nil
	}
	id, last := a.stream.Load(), c.link.last.Load()
	goaway := last >= 0 // the API server takes no stream after the last
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
