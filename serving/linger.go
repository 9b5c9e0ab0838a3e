package serving

import (
	"io"
	"os"
	"time"
)

const (
	// refusalTime is the timeout for writing a refusal (a Status that edge sends without a handler)
	// to a client that may not read.
	refusalTime = 5 * time.Second
	// lingerTime is how long the connection stays open for the client to read the refusal. If edge
	// closed the connection with unread bytes, TCP would reset it, and the client could lose the
	// refusal. net/http waits for the same time.
	lingerTime = 500 * time.Millisecond
	// lingerBytes limits the bytes that edge reads and discards in lingerTime.
	lingerBytes = 1 << 20
)

// refuse ends reads from a connection that is to be closed because the memory budget is exhausted.
// If edge can still send the client an answer, refuse first sends a 503.
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

// linger waits until the client has read the refusal, at most lingerTime, and closes the
// connection. When linger runs, net/http has finished with the connection and holds no header of
// its requests.
func (c *Conn) linger() {
	conn := c.above.Conn
	conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, conn, lingerBytes)
	c.cut()
	c.server.left(c)
}
