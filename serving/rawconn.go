package serving

import (
	"net"
	"sync/atomic"
)

// rawConn is the connection under TLS. It counts the bytes of a handshake, which crypto/tls keeps until a message is
// whole: up to 256 KiB for a certificate chain.
type rawConn struct {
	net.Conn
	c       *Conn
	shaking atomic.Bool // in a handshake
	shaken  int         // bytes of it so far; one goroutine reads
}

// maxHandshake bounds, in bytes, what is read for a handshake: eight certificates of 7 KiB each, or a ClientHello ten times
// the largest. 400 small certificates, which crypto/tls parses before they can be refused, are 160 KiB and 20 ms.
const maxHandshake = 64 << 10

func (b *rawConn) Read(p []byte) (int, error) {
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
func (b *rawConn) NetConn() net.Conn { return b.Conn }
