package roundtrip

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// answerWait is how long a request may wait on a silent connection before the peer is asked for a sign of life.
	answerWait = time.Second
	// silenceWait is the same where none waits, or where the peer has answered a PING since.
	silenceWait = 20 * time.Second
	// pongLate is when a PING without an answer makes the connection a suspect: nothing new goes there.
	pongLate = 2 * time.Second
	// pongLost is when it closes the connection.
	pongLost = 6 * time.Second
	// tick is how often a connection with waiting requests is looked at, at least.
	tick = 250 * time.Millisecond
)

// health watches one connection. Whatever is read is a sign of life.
type health struct {
	link *link
	ping func(context.Context) error
	lost func() // closes the connection
	slow func() // tells that a PING is late

	waiting atomic.Int32 // requests without an answer's head
	since   atomic.Int64 // when the first of them began after the last read, as lastRead
	ponged  atomic.Int64 // the read that brought the newest PONG
	silent  atomic.Bool  // the connection was closed for its silence
	soon    atomic.Bool  // the timer is set for a waiting request

	mu    sync.Mutex
	timer *time.Timer // calls look
	over  bool
	asked bool          // a PING is out
	at    time.Duration // when it was sent
	read  int64         // lastRead at that time
}

func (h *health) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ponged.Store(-1)
	if !h.over {
		h.timer = time.AfterFunc(silenceWait, h.look)
	}
}

func (h *health) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	if h.timer != nil {
		h.timer.Stop()
	}
}

// begin notes that a request waits for its answer.
func (h *health) begin() {
	if h.since.Load() <= h.link.lastRead.Load() {
		h.since.Store(int64(h.link.now()))
	}
	h.waiting.Add(1)
	if h.soon.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over && !h.asked && !h.soon.Swap(true) {
		h.timer.Reset(answerWait)
	}
}

// end notes that it waits no longer.
func (h *health) end() { h.waiting.Add(-1) }

// look does what is due, and sets the timer for what is next.
func (h *health) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	now, read := h.link.now(), h.link.lastRead.Load()
	if h.asked && read == h.read {
		h.late(now - h.at)
		return
	}
	h.asked = false
	h.soon.Store(false)
	waits := h.waiting.Load() > 0
	due := h.due(waits, read) - now
	switch {
	case due <= 0:
		h.ask(now, read)
	case waits: // another one may begin to
		h.soon.Store(true)
		h.timer.Reset(min(due, tick))
	default:
		h.timer.Reset(due)
	}
}

// due is when the next PING is.
func (h *health) due(waits bool, read int64) time.Duration {
	since := h.since.Load()
	hasPonged := since <= read && read == h.ponged.Load() // the peer, since a request waits, and it has said nothing more
	if waits && !hasPonged {
		return time.Duration(max(since, read)) + answerWait
	}
	return time.Duration(read) + silenceWait
}

func (h *health) ask(now time.Duration, read int64) {
	h.asked, h.at, h.read = true, now, read
	h.timer.Reset(pongLate)
	go func() {
		// A write that nobody takes may hold this up; the timer is not.
		ctx, cancel := context.WithTimeout(context.Background(), pongLost)
		defer cancel()
		if h.ping(ctx) == nil {
			h.ponged.Store(h.link.lastRead.Load())
			h.look()
		}
	}()
}

// late is for a PING that was sent silence ago.
func (h *health) late(silence time.Duration) {
	switch {
	case silence >= pongLost:
		h.over = true
		h.silent.Store(true)
		go h.lost()
	case silence >= pongLate:
		if !h.link.suspect.Swap(true) {
			h.slow()
		}
		if h.link.lastRead.Load() != h.read { // that moment
			h.link.suspect.Store(false)
		}
		h.timer.Reset(pongLost - silence)
	default:
		h.timer.Reset(pongLate - silence)
	}
}

// A Doubt is about the way to the API server, and shared by all that take it. Mostly it is not one connection that dies, but
// what they all go through: when a PING is late on one, the others that were silent as long take nothing new, until they
// have been heard. Without that a request would wait for one dead connection after the other, and one that has to be
// reviewed first for a dead connection each time. The zero value is ready.
type Doubt struct{ at atomic.Int64 } // when a PING was last late, in Unix ns; 0: never

func (d *Doubt) late() { d.at.Store(time.Now().UnixNano()) }

// Since is when something must have been heard on a connection that may take something new. It is zero without a doubt.
func (d *Doubt) Since() time.Time {
	at := d.at.Load()
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at).Add(-answerWait - pongLate)
}
