package serving

import (
	"net"
	"sync/atomic"
)

// rawConn is the connection under TLS. It counts the bytes of a handshake against the memory
// budget, because crypto/tls keeps them until a message is complete, up to 256 KiB for a
// certificate chain.
type rawConn struct {
	net.Conn
	c       *Conn
	shaking atomic.Bool // true: the handshake is in progress
	shaken  int         // bytes of the handshake read so far; only one goroutine reads
}

// maxHandshake limits the bytes that edge reads for one handshake. It is enough for eight
// certificates of 7 KiB each, and ten times the largest ClientHello. crypto/tls parses all
// certificates before edge can refuse them: 400 small ones are 160 KiB and take 20 ms.
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

// NetConn returns the connection that was accepted. Package bridge unwraps connections to find the
// one that has the methods that bridge needs.
func (b *rawConn) NetConn() net.Conn { return b.Conn }
