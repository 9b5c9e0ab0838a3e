package bridge

import (
	"sync"

	"edge/streams"
)

// maxHeld bounds, in bytes, what waits for one connection of a port-forward.
const maxHeld = 256 << 10

// A heldQueue is what the client said on one connection and upstream has not
// taken yet, in borrowed buffers. One goroutine puts, one takes, any ends it.
type heldQueue struct {
	mu     sync.Mutex
	pieces []heldPiece
	bytes  int  // with what was taken and not given back
	fin    bool // the client says no more
	told   bool // and that was taken
	end    held // heldLeft, heldReset or heldDropped; 0: none yet

	more chan struct{} // one slot: there is something to take
	room chan struct{} // one slot: something was given back, or nothing is wanted
}

// A heldPiece is bytes of a queue: buf[streams.Headroom:end].
type heldPiece struct {
	buf *streams.Buffer
	end int
}

// held is what take found.
type held int

const (
	heldData    held = iota + 1
	heldFin          // the client says no more; once
	heldLeft         // the client is gone, and all that it said was taken
	heldReset        // the client reset the connection
	heldDropped      // the connection is over
)

func newHeldQueue() *heldQueue {
	return &heldQueue{more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put copies b, at most streams.MaxData bytes, unless it is too much.
func (q *heldQueue) put(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fin || q.end != 0 {
		return true // nobody wants it
	}
	if q.bytes+len(b) > maxHeld {
		return false
	}
	q.bytes += len(b)
	const full = streams.Headroom + streams.MaxData
	for len(b) > 0 {
		last := len(q.pieces) - 1
		if last < 0 || q.pieces[last].end == full {
			q.pieces = append(q.pieces, heldPiece{streams.Borrow(), streams.Headroom})
			continue
		}
		p := &q.pieces[last]
		n := copy(p.buf[p.end:full], b)
		p.end += n
		b = b[n:]
	}
	signal(q.more)
	return true
}

// take waits for what comes next; before it waits it calls flush.
func (q *heldQueue) take(flush func()) (heldPiece, held) {
	for {
		if p, what := q.next(); what != 0 {
			return p, what
		}
		flush()
		<-q.more
	}
}

func (q *heldQueue) next() (p heldPiece, what held) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.end > heldLeft:
		return p, q.end
	case len(q.pieces) > 0:
		p = q.pieces[0]
		q.pieces = q.pieces[1:]
		return p, heldData
	case q.fin && !q.told:
		q.told = true
		return p, heldFin
	}
	return p, q.end
}

// finish notes that the client says no more.
func (q *heldQueue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fin = true
	signal(q.more)
}

// close ends the queue: heldLeft when all was taken, heldReset and heldDropped
// at once. A later end is one that counts more.
func (q *heldQueue) close(end held) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if end <= q.end {
		return
	}
	q.end = end
	if end > heldLeft {
		for _, p := range q.pieces {
			q.bytes -= p.end - streams.Headroom
			streams.Return(p.buf)
		}
		q.pieces = nil
	}
	signal(q.more)
	signal(q.room)
}

// cut tells whether nothing that was said matters any more.
func (q *heldQueue) cut() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.end > heldLeft
}

// waits tells whether upstream has something to take.
func (q *heldQueue) waits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes > 0
}

// giveBack ends the use of a piece.
func (q *heldQueue) giveBack(p heldPiece) {
	q.mu.Lock()
	q.bytes -= p.end - streams.Headroom
	q.mu.Unlock()
	streams.Return(p.buf)
	signal(q.room)
}
