package session

import (
	"sync"
	"time"

	"edge/streams"
	"edge/streams/spdy"
)

// channels is a port-forward over WebSocket channels: all its connections are
// there from the start, none can be said to have ended, and when all have ended
// the session has. It knows its Close.
type channels struct {
	symmetric
	table *spdy.Table // the streams of its connections

	closed    bool // by the client
	code      uint32
	hasSpoken bool // the client: its Close is answered when the pod has heard what came before

	unanswered int // streams that upstream has not accepted yet
	answered   chan struct{}
	answer     func() // closes answered, once

	ask   func() error  // asks upstream to say when the pod has read all
	heard chan struct{} // closed when the pod has all that the client said, or nothing more comes from upstream
	hear  func()        // closes heard, once
}

func newChannels(connections int, table *spdy.Table) *channels {
	c := &channels{table: table, unanswered: 2 * connections, answered: make(chan struct{}), heard: make(chan struct{})}
	c.answer = sync.OnceFunc(func() { close(c.answered) })
	c.hear = sync.OnceFunc(func() { close(c.heard) })
	return c
}

// awaitOpen waits, for a client that left, until upstream has every stream: a
// container runtime whose client is gone within its opens keeps some of their
// goroutines for ever (cri-streaming's httpStreamReceived).
func (c *channels) awaitOpen(most time.Duration) { await(c.answered, most) }

// settle waits, for a client that left, until the pod has read what the client said last, as a container runtime does
// that speaks WebSocket itself.
func (c *channels) settle(t *twoWay) {
	c.awaitOpen(t.Linger)
	if t.fromClient.writeErr == nil {
		t.fromClient.writeErr = c.ask()
	}
	t.fromClient.flush()
	if t.fromClient.writeErr == nil {
		await(c.heard, t.Linger)
	}
}

func (c *channels) answersLate() bool { return c.hasSpoken }

func (c *channels) outputEnded() {
	c.answer() // none will come
	c.hear()
}

func await(done <-chan struct{}, most time.Duration) {
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
}

// fromClient keeps the client's Close to itself.
func (c *channels) fromClient(f *streams.Frame) (forward bool, err error) {
	switch f.Kind {
	case streams.Close:
		c.closed, c.code = true, f.Code
		return false, nil
	case streams.Data:
		c.hasSpoken = true
	}
	return true, nil
}

// toClient looks for the answers to the opens, and for the end of the last
// connection.
func (c *channels) toClient(f *streams.Frame) (forward bool, err error) {
	switch f.Kind {
	case streams.Accept:
		if c.unanswered--; c.unanswered == 0 {
			c.answer()
		}
	case streams.HalfClose, streams.Reset:
		if c.table.Len() == 0 {
			return false, errCompleted
		}
	case streams.Data:
		return true, nil
	}
	return false, nil
}

// Closed implements closed.
func (c *channels) Closed() (code int, ok bool) { return int(c.code), c.closed }
