package session

import (
	"sync"
	"time"

	"edge/streams"
	"edge/streams/spdy"
)

// channels is a port-forward over WebSocket channels, one pair of channels for each port. All its
// connections exist from the start, the client cannot end a single one, and the session ends when
// all have ended. channels also records the client's Close.
type channels struct {
	symmetric
	table *spdy.Table // streams of the session's connections

	closed bool // true: the client has sent its Close
	code   uint32
	// hasSpoken is true if the client has sent data. edge then answers the client's Close only
	// after the pod has read the data.
	hasSpoken bool

	unanswered int // number of streams that upstream has not accepted yet
	answered   chan struct{}
	answer     func() // closes the Go channel answered; may be called more than once

	ask func() error // sends upstream a request to report when the pod has read everything
	// heard is closed when the pod has read everything that the client sent, or when nothing more
	// comes from upstream.
	heard chan struct{}
	hear  func() // closes the Go channel heard; may be called more than once
}

func newChannels(connections int, table *spdy.Table) *channels {
	c := &channels{table: table, unanswered: 2 * connections, answered: make(chan struct{}), heard: make(chan struct{})}
	c.answer = sync.OnceFunc(func() { close(c.answered) })
	c.hear = sync.OnceFunc(func() { close(c.heard) })
	return c
}

// awaitOpen waits, after a client has disconnected, until upstream has accepted every stream, for
// at most the duration most. If the client disconnects while its streams are opened, a container
// runtime never ends some of their goroutines (cri-streaming's httpStreamReceived).
func (c *channels) awaitOpen(most time.Duration) { await(c.answered, most) }

// settle waits, after a client has disconnected, until the pod has read the client's last data. A
// container runtime that speaks WebSocket itself does the same.
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
	c.answer() // stop waiting: upstream accepts no more streams
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

// fromClient handles each frame of the client. It records the client's Close and does not forward
// it.
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

// toClient handles each frame of upstream. It counts the accepts of the opened streams, and detects
// the end of the last connection.
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

// Closed implements closeReceiver: it returns the code of the client's Close, if there was one.
func (c *channels) Closed() (code int, ok bool) { return int(c.code), c.closed }
