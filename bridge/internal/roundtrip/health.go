package roundtrip

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// answerWait is how long a request waits on a silent connection before edge sends a PING.
	answerWait = time.Second
	// silenceWait is how long a connection may be silent before edge sends a PING if no request
	// waits, or if the peer has already answered a PING during the wait.
	silenceWait = 20 * time.Second
	// pongLate is how long a PING may stay without an answer before the connection is suspect: new
	// requests then use other connections.
	pongLate = 2 * time.Second
	// pongLost is how long a PING may stay without an answer before edge closes the connection.
	pongLost = 6 * time.Second
	// tick is the longest interval between two checks of a connection with waiting requests.
	tick = 250 * time.Millisecond
)

// health finds out by PINGs whether the peer of one connection is dead. Any byte that is read shows
// that the peer lives.
type health struct {
	link *link
	ping func(context.Context) error
	lost func() // closes the connection
	slow func() // called when a PING has had no answer for the duration pongLate

	waiting atomic.Int32 // number of requests that wait for the header of their answer
	since   atomic.Int64 // begin of the first request since the last read; ns since link.born
	ponged  atomic.Int64 // when the newest PONG arrived; ns since link.born
	silent  atomic.Bool  // true: the connection was closed because the peer was silent
	soon    atomic.Bool  // true: a request waits, and the timer fires soon because of it

	mu    sync.Mutex
	timer *time.Timer // calls the method look
	over  bool
	asked bool          // true: a PING was sent and has no PONG yet
	at    time.Duration // when the newest PING was sent, since the connection was opened
	read  int64         // value of link.lastRead when the newest PING was sent
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

// begin records that one more request waits for its answer.
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

// end records that one request no longer waits for its answer.
func (h *health) end() { h.waiting.Add(-1) }

// look runs when the timer fires. It sends a PING or handles one that was not answered in time, and
// sets the timer again.
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
	case waits: // check again after the duration tick: another request may begin to wait
		h.soon.Store(true)
		h.timer.Reset(min(due, tick))
	default:
		h.timer.Reset(due)
	}
}

// due returns when the next PING must be sent, as the time since the connection was opened
// (link.born).
func (h *health) due(waits bool, read int64) time.Duration {
	since := h.since.Load()
	// true: the last bytes read were a PONG, and no request has begun since
	hasPonged := since <= read && read == h.ponged.Load()
	if waits && !hasPonged {
		return time.Duration(max(since, read)) + answerWait
	}
	return time.Duration(read) + silenceWait
}

func (h *health) ask(now time.Duration, read int64) {
	h.asked, h.at, h.read = true, now, read
	h.timer.Reset(pongLate)
	go func() {
		// This goroutine waits if the peer does not read, because then the write of the PING
		// blocks. h.timer fires nevertheless, and closes the connection.
		ctx, cancel := context.WithTimeout(context.Background(), pongLost)
		defer cancel()
		if h.ping(ctx) == nil {
			h.ponged.Store(h.link.lastRead.Load())
			h.look()
		}
	}()
}

// late handles a PING that has no answer yet. silence is the time since it was sent.
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
		if h.link.lastRead.Load() != h.read { // a byte has arrived: the peer lives
			h.link.suspect.Store(false)
		}
		h.timer.Reset(pongLost - silence)
	default:
		h.timer.Reset(pongLate - silence)
	}
}

// A Doubt records that the network to the API server may be broken. All connections to that API
// server share a Doubt, because usually not one connection fails but the network path of all.
//
// When a PING is late on one connection, the connections that were silent for as long get no new
// requests until a byte arrives on them. Otherwise a request could wait for several dead
// connections, one after the other: first for the connection of its access review, and then for its
// own. The zero value is ready to use.
type Doubt struct{ at atomic.Int64 } // when a PING was last late, in Unix ns; 0: never

func (d *Doubt) late() { d.at.Store(time.Now().UnixNano()) }

// Since returns a time for new requests: only a connection that has received a byte after that time
// may get them. The result is the zero time if no PING was late.
func (d *Doubt) Since() time.Time {
	at := d.at.Load()
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at).Add(-answerWait - pongLate)
}
