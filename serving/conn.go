package serving

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
)

// Conn is one client's connection. All exported methods may be called on nil, and by many goroutines.
type Conn struct {
	server *Server
	below  rawConn // under TLS; without TLS it is unused
	above  httpsConn
	kept   atomic.Value

	framed   bool         // it is HTTP/2
	known    atomic.Bool  // a request was authenticated
	unread   atomic.Bool  // nobody counts what is read: known, or hijacked
	evicted  atomic.Bool  // the budget is used up, and this connection has to go
	lingers  atomic.Bool  // it was refused, and closes by itself
	refusals atomic.Int32 // 401s so far

	registered
	charged
}

// contextKey is where requests have their connection. The house passes nothing in context values; net/http ties a
// request to its connection in no other way (http.Server.ConnContext).
type contextKey struct{}

// Of returns the connection of a request; nil if no Server of this package accepted it.
func Of(r *http.Request) *Conn {
	c, _ := r.Context().Value(contextKey{}).(*Conn)
	return c
}

func (c *Conn) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// Authenticated says that a request of the connection is somebody's, and not system:anonymous'. From then on the
// connection may idle for long, and its headers are no stranger's.
func (c *Conn) Authenticated() {
	if c == nil || c.known.Load() || !c.known.CompareAndSwap(false, true) {
		return
	}
	c.unread.Store(true)
	c.server.budget.forget(c)
	c.server.conns.login(c)
}

// Kept is a place for one value that lasts as long as the connection, such as what its certificate was found to be;
// nil if c is nil.
func (c *Conn) Kept() *atomic.Value {
	if c == nil {
		return nil
	}
	return &c.kept
}

// raw is the connection as it was accepted.
func (c *Conn) raw() net.Conn { return c.below.Conn }

// cut ends the connection at once. TLS would wait, to say goodbye to a peer that reads nothing.
func (c *Conn) cut() { c.raw().Close() }

// count charges what was read above TLS. It reports whether the connection stays.
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
