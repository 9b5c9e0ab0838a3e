package serving

import (
	"io"
	"os"
	"time"
)

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
	if _, err := conn.Write(overBudget(headerBudget).onTheWire()); err == nil {
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
