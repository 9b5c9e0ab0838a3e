package leg

import (
	"io"
	"net"
)

// Replayed is a connection whose reads see first what was read of it already, as with a 101.
type Replayed struct {
	net.Conn
	read io.Reader
}

// NewReplayed makes one; read gives what was read already, and then what comes.
func NewReplayed(conn net.Conn, read io.Reader) *Replayed { return &Replayed{conn, read} }

func (c *Replayed) Read(b []byte) (int, error) { return c.read.Read(b) }

// NetConn is the connection below, as that of a *tls.Conn.
func (c *Replayed) NetConn() net.Conn { return c.Conn }
