package serving

import (
	"io"
	"os"
	"time"
)

const (
	// refusalTime is the timeout for writing a refusal to a client that may not read.
	refusalTime = 5 * time.Second
	// lingerTime is how long the connection stays open for the client to read the refusal. Closing
	// it with unread bytes would reset it, and the client could lose the refusal. net/http waits as
	// long.
	lingerTime = 500 * time.Millisecond
	// lingerBytes is the most, in bytes, that edge reads and drops in lingerTime.
	lingerBytes = 1 << 20
)

// refuse ends reads from a connection that is to be closed because the budget is exhausted. If the
// client can still get an answer, refuse first sends it a 503.
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
	return os.ErrDeadlineExceeded // net/http sends no answer of its own after a timeout
}

// linger closes the connection when its client has read the refusal. By then net/http has finished
// with the connection and holds no header of it.
func (c *Conn) linger() {
	conn := c.above.Conn
	conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, conn, lingerBytes)
	c.cut()
	c.server.left(c)
}
