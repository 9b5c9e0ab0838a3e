package serving

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// errOver ends what a connection reads after the budget for unknown ones was used up.
var errOver = errors.New("serving: the budget for headers of unknown clients is used up")

// below is the connection under TLS. It counts the bytes of a handshake, which crypto/tls keeps until a message is
// whole: up to 256 KiB for a certificate chain.
type below struct {
	net.Conn
	c       *Conn
	shaking atomic.Bool // in a handshake
	shaken  int         // bytes of it so far; one goroutine reads
}

// maxHandshake bounds, in bytes, what is read for a handshake: eight certificates of 7 KiB each, or a ClientHello ten times
// the largest. 400 small certificates, which crypto/tls parses before they can be refused, are 160 KiB and 20 ms.
const maxHandshake = 64 << 10

// errLongHandshake ends a handshake.
var errLongHandshake = errors.New("the client's handshake is longer than 64 KiB")

func (b *below) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if n == 0 || !b.shaking.Load() {
		return n, err
	}
	if b.shaken += n; b.shaken > maxHandshake {
		return 0, errLongHandshake
	}
	if !b.c.server.budget.charge(b.c, entry{cost: int64(n)}) {
		return 0, errOver
	}
	return n, err
}

// NetConn returns the connection that was accepted: package bridge looks for what it can do.
func (b *below) NetConn() net.Conn { return b.Conn }

// above is the connection that HTTP is read from.
type above struct {
	net.Conn
	c       *Conn
	bounded bool // a write deadline of boundWrite's is set
}

func (a *above) owner() *Conn { return a.c }

// NetConn returns what is below.
func (a *above) NetConn() net.Conn { return a.Conn }

// CloseWrite implements what net/http and package bridge half-close by.
func (a *above) CloseWrite() error {
	if half, ok := a.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (a *above) Read(p []byte) (int, error) {
	c := a.c
	if c.unread.Load() {
		return a.Conn.Read(p)
	}
	if c.over.Load() {
		return 0, c.refuse()
	}
	n, err := a.Conn.Read(p)
	if n > 0 && !c.count(p[:n]) || c.over.Load() {
		return 0, c.refuse()
	}
	return n, err
}

// unknownWriteTime bounds one write to an unknown client over HTTP/2. Its TCP may take nothing while it goes on sending
// frames, so that a PING never falls due, and the reset of a stream whose refusal it does not take could not be written.
const unknownWriteTime = time.Minute

// boundWrite gives the next write its time. HTTP/2 writes one after the other; HTTP/1.1 has a refusal's own deadline.
func (a *above) boundWrite() {
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
func (a *above) Write(p []byte) (int, error) {
	a.boundWrite()
	if len(p) == len(tooLarge) && string(p) == tooLarge {
		_, err := a.Conn.Write(headersTooLarge(a.c.server.maxHeader()).onTheWire())
		return len(p), err
	}
	return a.Conn.Write(p)
}

// SetReadDeadline leaves alone the one that wakes a connection that has to go, and the one of a connection that lingers.
func (a *above) SetReadDeadline(t time.Time) error {
	if a.c.lingers.Load() {
		return nil
	}
	if a.c.over.Load() {
		t = longAgo
	}
	return a.Conn.SetReadDeadline(t)
}

// longAgo makes a Read return that waits.
var longAgo = time.Unix(1, 0)

const (
	// refusalTime bounds the write of a refusal of ours to a client that may not read.
	refusalTime = 5 * time.Second
	// lingerTime is how long a client may take to read it: a close with bytes unread would reset the connection. net/http's own.
	lingerTime = 500 * time.Millisecond
	// lingerBytes bounds, in bytes, what is read and dropped meanwhile.
	lingerBytes = 1 << 20
)

// refuse answers a client whose header is over the budget, where it can, and ends what is read from it.
func (c *Conn) refuse() error {
	if c.lingers.Load() || !c.server.budget.mayAnswer(c) {
		return errOver
	}
	conn := c.above.Conn
	conn.SetWriteDeadline(time.Now().Add(refusalTime))
	if _, err := conn.Write(overBudget().onTheWire()); err == nil {
		c.above.CloseWrite()
		c.lingers.Store(true)
		go c.linger()
	}
	return os.ErrDeadlineExceeded // net/http answers a timeout with nothing
}

// linger closes the connection when its client has read the refusal. net/http is through with it by then, and keeps no header.
func (c *Conn) linger() {
	conn := c.above.Conn
	conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, conn, lingerBytes)
	c.cut()
	c.server.left(c)
}

// Close leaves a connection alone that lingers.
func (a *above) Close() error {
	if a.c.lingers.Load() {
		return nil
	}
	return a.Conn.Close()
}

// aboveTLS tells net/http about the handshake.
type aboveTLS struct{ above }

// ConnectionState implements what http.Request.TLS comes from.
func (a *aboveTLS) ConnectionState() tls.ConnectionState { return a.Conn.(*tls.Conn).ConnectionState() }
