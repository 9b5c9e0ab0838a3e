package leg

import (
	"io"
	"net"
)

// Replayed is a connection whose first Reads return bytes that an earlier reader took from it. Such
// a reader is an HTTP client that parsed the 101 response and has also read some bytes behind it.
type Replayed struct {
	net.Conn
	read io.Reader
}

// NewReplayed returns a Replayed for conn. The reader in the parameter read must return the bytes
// that were read before, and then the bytes that conn receives.
func NewReplayed(conn net.Conn, read io.Reader) *Replayed { return &Replayed{conn, read} }

func (c *Replayed) Read(b []byte) (int, error) { return c.read.Read(b) }

// NetConn returns the wrapped connection, as the method of *tls.Conn does.
func (c *Replayed) NetConn() net.Conn { return c.Conn }
