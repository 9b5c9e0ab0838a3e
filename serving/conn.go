package serving

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
)

// Conn is one client connection. All exported methods may be called on a nil Conn, and
// concurrently.
type Conn struct {
	server *Server
	below  rawConn // the connection under TLS; without TLS it only holds the accepted connection
	above  httpsConn
	kept   atomic.Value

	framed   bool         // true: HTTP/2; false: HTTP/1.1
	known    atomic.Bool  // true: a request on the connection was authenticated
	unread   atomic.Bool  // true: Read counts no headers, because the connection is authenticated, hijacked or closed
	evicted  atomic.Bool  // true: the connection is to be closed, because the memory budget is exhausted
	lingers  atomic.Bool  // true: edge refused a request, and the method linger will close the connection
	refusals atomic.Int32 // 401 answers on this connection so far

	registered
	charged
}

// contextKey is the context key under which a request's context has its Conn. edge passes nothing
// else in context values; net/http offers only this way from a request to its connection
// (http.Server.ConnContext).
type contextKey struct{}

// Of returns the connection of a request, or nil if no Server of this package accepted it.
func Of(r *http.Request) *Conn {
	c, _ := r.Context().Value(contextKey{}).(*Conn)
	return c
}

func (c *Conn) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// Authenticated reports that a request on the connection is authenticated as a user other than
// system:anonymous. From then on the connection has the long idle timeout, and its headers no
// longer count against the memory budget of unauthenticated connections.
func (c *Conn) Authenticated() {
	if c == nil || c.known.Load() || !c.known.CompareAndSwap(false, true) {
		return
	}
	c.unread.Store(true)
	c.server.budget.forget(c)
	c.server.conns.login(c)
}

// Kept returns a place for one value that lasts as long as the connection, such as the result of
// verifying its client certificate. It returns nil if c is nil.
func (c *Conn) Kept() *atomic.Value {
	if c == nil {
		return nil
	}
	return &c.kept
}

// raw returns the connection as the listener accepted it.
func (c *Conn) raw() net.Conn { return c.below.Conn }

// cut closes the TCP connection at once, without TLS's close_notify: writing a close_notify would
// block if the client reads nothing.
func (c *Conn) cut() { c.raw().Close() }

// count charges the bytes p, which were read from the client and decrypted, against the memory
// budget of unauthenticated connections. It reports whether the connection stays open.
func (c *Conn) count(p []byte) bool {
	c.counting.Lock()
	defer c.counting.Unlock()
	var few [4]entry
	entries := c.counter.count(few[:0], p)
	if len(entries) == 0 {
		return true
	}
	return c.server.budget.charge(c, entries...)
}
