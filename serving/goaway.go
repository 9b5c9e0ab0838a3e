package serving

import (
	"time"

	"golang.org/x/net/http2"
)

const (
	// goAwayTime is the timeout for writing a GOAWAY, and then how long an idle connection stays
	// open after it. Within one round trip the client may still send a request, which edge serves.
	goAwayTime = 5 * time.Second
	// anyStream is the last stream id in a GOAWAY that refuses no request on its way to edge (RFC
	// 9113, section 6.8).
	anyStream = 1<<31 - 1
)

// goAway tells the client of an HTTP/2 connection whose idle timeout is over to send no more requests
// on it. It closes the connection after goAwayTime if no request has come. The parameter uses is the
// value of the field uses when the timeout was over.
//
// On such a connection package http2 writes only short frames, such as PING, each in one write, so
// that the GOAWAY is not written inside another frame. The lock is held for long only if the client
// does not read; the unanswered PING then ends the connection.
func (c *Conn) goAway(uses int) {
	c.above.writing.Lock()
	isIdle := c.server.conns.isIdle(c, uses)
	if isIdle {
		c.above.Conn.SetWriteDeadline(time.Now().Add(goAwayTime))
		// After an error the connection is closed all the same.
		_ = http2.NewFramer(c.above.Conn, nil).WriteGoAway(anyStream, http2.ErrCodeNo, nil)
		c.above.Conn.SetWriteDeadline(time.Time{})
	}
	c.above.writing.Unlock()
	if isIdle {
		time.AfterFunc(goAwayTime, func() {
			if c.server.conns.isIdle(c, uses) {
				c.cut()
			}
		})
	}
}
