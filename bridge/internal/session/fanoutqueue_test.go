package session

import (
	"bytes"
	"testing"

	"edge/streams"
)

// TestNoGap checks that the data of a port-forward's connection ends when the session ends while its
// queue is full: data that follows must not be sent after a gap.
func TestNoGap(t *testing.T) {
	f := &fanout{session: &session{done: make(chan struct{}), Times: &DefaultTimes}}
	c := newForwardConn(f, "")
	before, after := bytes.Repeat([]byte("a"), streams.MaxData), []byte("b")
	for c.queue.put(before) {
	}
	f.setCause(errShutdown)
	f.enqueue(c, before)
	for {
		piece, what := c.queue.take(func() {})
		if what != queueData {
			break
		}
		if bytes.Contains(piece.buf[streams.Headroom:piece.end], after) {
			t.Fatal("data was sent after a gap")
		}
		c.queue.giveBack(piece)
		f.enqueue(c, after)
	}
}
