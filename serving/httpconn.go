package serving

import (
	"crypto/tls"
	"net"
	"time"
)

// httpConn is the connection that HTTP is read from.
type httpConn struct {
	net.Conn
	c       *Conn
	bounded bool // a write deadline of boundWrite's is set
}

func (a *httpConn) owner() *Conn { return a.c }

// NetConn returns what is below.
func (a *httpConn) NetConn() net.Conn { return a.Conn }

// CloseWrite implements what net/http and package bridge half-close by.
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

// unknownWriteTime bounds one write to an unknown client over HTTP/2. Its TCP may take nothing while it goes on sending
// frames, so that a PING never falls due, and the reset of a stream whose refusal it does not take could not be written.
const unknownWriteTime = time.Minute

// boundWrite gives the next write its time. HTTP/2 writes one after the other; HTTP/1.1 has a refusal's own deadline.
func (a *httpConn) boundWrite() {
	switch {
	case !a.c.framed:
	case !a.c.known.Load():
		a.Conn.SetWriteDeadline(time.Now().Add(unknownWriteTime))
		a.bounded = true
	case a.bounded:
		a.Conn.SetWriteDeadline(time.Time{})
		a.bounded = false
	}
}

// Write puts a Status where net/http says 431 by itself, in plain text and below any handler.
func (a *httpConn) Write(p []byte) (int, error) {
	a.boundWrite()
	if len(p) == len(tooLarge) && string(p) == tooLarge {
		_, err := a.Conn.Write(headersTooLarge(a.c.server.maxHeader()).onTheWire())
		return len(p), err
	}
	return a.Conn.Write(p)
}

// SetReadDeadline leaves alone the one that wakes a connection that has to go, and the one of a connection that lingers.
func (a *httpConn) SetReadDeadline(t time.Time) error {
	if a.c.lingers.Load() {
		return nil
	}
	if a.c.evicted.Load() {
		t = longAgo
	}
	return a.Conn.SetReadDeadline(t)
}

// longAgo makes a Read return that waits.
var longAgo = time.Unix(1, 0)

// Close leaves a connection alone that lingers.
func (a *httpConn) Close() error {
	if a.c.lingers.Load() {
		return nil
	}
	return a.Conn.Close()
}

// httpsConn tells net/http about the handshake.
type httpsConn struct{ httpConn }

// ConnectionState implements what http.Request.TLS comes from.
func (a *httpsConn) ConnectionState() tls.ConnectionState {
	return a.Conn.(*tls.Conn).ConnectionState()
}
