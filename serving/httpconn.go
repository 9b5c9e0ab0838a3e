package serving

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// httpConn is the connection that net/http reads requests from and writes answers to.
type httpConn struct {
	net.Conn
	c       *Conn
	bounded bool       // true: the method boundWrite has set a write deadline
	writing sync.Mutex // held during a write over HTTP/2
}

func (a *httpConn) owner() *Conn { return a.c }

// NetConn returns the connection below this one: TLS, or the accepted connection if there is no
// TLS.
func (a *httpConn) NetConn() net.Conn { return a.Conn }

// CloseWrite half-closes the connection. net/http and package bridge look for a method of this
// name.
func (a *httpConn) CloseWrite() error {
	if half, ok := a.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (a *httpConn) Read(p []byte) (int, error) {
	c := a.c
	if c.unread.Load() {
		return a.Conn.Read(p)
	}
	if c.evicted.Load() {
		return 0, c.refuse()
	}
	n, err := a.Conn.Read(p)
	inBudget := n == 0 || c.count(p[:n])
	if !inBudget || c.evicted.Load() {
		return 0, c.refuse()
	}
	return n, err
}

// unknownWriteTime is the timeout of one write to an unauthenticated HTTP/2 client. Such a client
// may read nothing and keep sending frames; then edge never sends the PING that would detect this.
// Without the timeout edge could never write the reset of a stream whose refusal the client does
// not read.
const unknownWriteTime = time.Minute

// boundWrite sets the deadline of the next write to an unauthenticated client, for HTTP/2 only:
// over HTTP/1.1 a refusal has a deadline of its own.
func (a *httpConn) boundWrite() {
	switch {
	case !a.c.known.Load():
		a.Conn.SetWriteDeadline(time.Now().Add(unknownWriteTime))
		a.bounded = true
	case a.bounded:
		a.Conn.SetWriteDeadline(time.Time{})
		a.bounded = false
	}
}

// Write replaces the plain-text 431 that net/http itself writes, without calling a handler, with a
// Status.
func (a *httpConn) Write(p []byte) (int, error) {
	if a.c.framed {
		a.writing.Lock()
		defer a.writing.Unlock()
		a.boundWrite()
	}
	if len(p) == len(tooLarge) && string(p) == tooLarge {
		_, err := a.Conn.Write(headersTooLarge(a.c.server.maxHeader()).onTheWire())
		return len(p), err
	}
	return a.Conn.Write(p)
}

// SetReadDeadline ignores net/http's deadline if this package has set its own: to wake the reader
// of a connection that is to be closed, or to end a lingering connection.
func (a *httpConn) SetReadDeadline(t time.Time) error {
	if a.c.lingers.Load() {
		return nil
	}
	if a.c.evicted.Load() {
		t = longAgo
	}
	return a.Conn.SetReadDeadline(t)
}

// longAgo is a deadline that makes a blocked Read return at once.
var longAgo = time.Unix(1, 0)

// Close does nothing on a lingering connection, which stays open for its client to read a refusal:
// the method linger closes it.
func (a *httpConn) Close() error {
	if a.c.lingers.Load() {
		return nil
	}
	return a.Conn.Close()
}

// httpsConn is an httpConn over TLS. Its method ConnectionState gives net/http the state of the
// handshake.
type httpsConn struct{ httpConn }

// ConnectionState returns the TLS state from which net/http sets http.Request.TLS.
func (a *httpsConn) ConnectionState() tls.ConnectionState {
	return a.Conn.(*tls.Conn).ConnectionState()
}
