package roundtrip

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An http1Conn is an HTTP/1.1 connection, which carries one request after the other. net/http's
// ClientConn sends each request once, even if GetBody or Idempotency-Key would permit more: only
// Transport sends requests again.
type http1Conn struct {
	pool *singles
	link *countedConn
	cc   *http.ClientConn

	listed bool        // true: this connection is in pool.idle; guarded by pool.mu
	timer  *time.Timer // closes the connection after idleTime; guarded by pool.mu
}

// singles is the pool of the connections without HTTP/2. They have no receive windows, so one pool
// is enough.
type singles struct {
	t    *Transport
	only atomic.Bool // true: the newest connection negotiated HTTP/1.1

	mu   sync.Mutex
	idle []*http1Conn // the last element is the most recently used connection
}

// countedConn is a connection that counts the bytes written, to find out whether any byte of a
// request was written.
type countedConn struct {
	*tls.Conn
	closed func()
	once   sync.Once

	mu      sync.Mutex // held while writing
	written int64
	sealed  bool
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(b)
	c.written += int64(n)
	return n, err
}

func (c *countedConn) Close() error {
	c.once.Do(c.closed)
	return closeTLS(c.Conn)
}

func (c *countedConn) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written
}

// seal finds out whether a request was not sent. The parameter before is the result of the method
// count before the request. seal forbids further writes and reports whether nothing was written
// since then. While another goroutine is writing, seal returns false and does not forbid anything.
func (c *countedConn) seal(before int64) bool {
	if !c.mu.TryLock() { // another goroutine is writing to the connection now
		return false
	}
	defer c.mu.Unlock()
	c.sealed = true
	return c.written == before
}

// open makes an http1Conn of c. The new connection is not in the idle list.
func (p *singles) open(c *tls.Conn) (*http1Conn, error) {
	h := &http1Conn{pool: p}
	h.link = &countedConn{Conn: c, closed: func() {
		p.unlist(h)
		p.t.count.Add(-1)
		p.t.cfg.Metrics.add(protocolHTTP1, -1)
	}}
	p.t.cfg.Metrics.add(protocolHTTP1, 1)
	h.timer = time.AfterFunc(idleTime, h.closeIfIdle)
	h.timer.Stop()
	t := &http.Transport{
		DialTLSContext:         func(context.Context, string, string) (net.Conn, error) { return h.link, nil },
		MaxResponseHeaderBytes: maxAnswerHeader,
		ExpectContinueTimeout:  continueTime,
		ResponseHeaderTimeout:  p.t.cfg.AnswerTimeout,
		DisableCompression:     true, // bodies pass unchanged
	}
	var err error
	if h.cc, err = t.NewClientConn(context.Background(), "https", p.t.address); err != nil {
		h.link.Close()
		return nil, err
	}
	h.cc.SetStateHook(func(cc *http.ClientConn) {
		if cc.Err() == nil && cc.Available() > 0 {
			p.put(h)
		}
	})
	return h, nil
}

// roundTrip sends req on h, which the caller has reserved.
func (h *http1Conn) roundTrip(req *http.Request, body io.ReadCloser) (*http.Response, verdict, error) {
	out := *req
	out.Body, out.GetBody = body, nil
	before := h.link.count()
	resp, err := h.cc.RoundTrip(&out)
	switch {
	case err == nil:
		return resp, answered, nil
	case h.link.seal(before):
		h.cc.Close()
		return nil, untaken, err
	case h.cc.Err() != nil && !h.isAnswerTimeout(err):
		return nil, broken, err
	}
	return nil, failed, err
}

// isAnswerTimeout reports whether err is the timeout for the answer's header.
func (h *http1Conn) isAnswerTimeout(err error) bool {
	return h.pool.t.cfg.AnswerTimeout > 0 && isTimeout(err)
}

// put adds h to the idle list. net/http may call it more than once for the same request.
func (p *singles) put(h *http1Conn) {
	p.mu.Lock()
	if !h.listed {
		h.listed = true
		p.idle = append(p.idle, h)
		h.timer.Reset(idleTime)
	}
	p.mu.Unlock()
	if h.cc.Err() != nil { // the connection broke before h was put into the list
		p.unlist(h)
	}
	if p.t.ctx.Err() != nil {
		h.closeIfIdle()
	}
}

// take reserves the most recently used idle connection. It returns nil if none is idle.
func (p *singles) take() *http1Conn {
	for {
		p.mu.Lock()
		if len(p.idle) == 0 {
			p.mu.Unlock()
			return nil
		}
		h := p.idle[len(p.idle)-1]
		p.unlistLocked(h)
		p.mu.Unlock()
		// On an error, h is closed, or is still in use and returns to the idle list later.
		if h.cc.Reserve() == nil {
			return h
		}
	}
}

// unlist removes h from the idle list, and reports whether h was there.
func (p *singles) unlist(h *http1Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unlistLocked(h)
}

func (p *singles) unlistLocked(h *http1Conn) bool {
	was := h.listed
	if was {
		h.listed = false
		h.timer.Stop()
		i := slices.Index(p.idle, h)
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	return was
}

// closeIfIdle closes h unless it is in use. h.timer calls it.
func (h *http1Conn) closeIfIdle() {
	if h.pool.unlist(h) {
		h.cc.Close()
	}
}

func (p *singles) closeIdle() {
	p.mu.Lock()
	idle := slices.Clone(p.idle)
	p.mu.Unlock()
	for _, h := range idle {
		h.closeIfIdle()
	}
}
