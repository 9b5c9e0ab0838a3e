package session

import (
	"sync"

	"edge/streams"
)

// maxQueued bounds, in bytes, what waits for one connection of a port-forward.
const maxQueued = 256 << 10

// A connQueue is what the client said on one connection and upstream has not
// taken yet, in borrowed buffers. One goroutine puts, one takes, any ends it.
type connQueue struct {
	mu       sync.Mutex
	pieces   []queuedChunk
	bytes    int        // with what was taken and not given back
	fin      bool       // the client says no more
	finTaken bool       // and that was taken
	end      queueEvent // queueClientGone, queueReset or queueDropped; 0: none yet

	more chan struct{} // one slot: there is something to take
	room chan struct{} // one slot: something was given back, or nothing is wanted
}

// A queuedChunk is bytes of a queue: buf[streams.Headroom:end].
type queuedChunk struct {
	buf *streams.Buffer
	end int
}

// queueEvent is what take found.
type queueEvent int

const (
	queueData       queueEvent = iota + 1
	queueFin                   // the client says no more; once
	queueClientGone            // the client is gone, and all that it said was taken
	queueReset                 // the client reset the connection
	queueDropped               // the connection is over
)

func newConnQueue() *connQueue {
	return &connQueue{more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put copies b, at most streams.MaxData bytes, unless it is too much.
func (q *connQueue) put(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fin || q.end != 0 {
		return true // nobody wants it
	}
	if q.bytes+len(b) > maxQueued {
		return false
	}
	q.bytes += len(b)
	const full = streams.Headroom + streams.MaxData
	for len(b) > 0 {
		last := len(q.pieces) - 1
		if last < 0 || q.pieces[last].end == full {
			q.pieces = append(q.pieces, queuedChunk{streams.Borrow(), streams.Headroom})
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
func (q *connQueue) take(flush func()) (queuedChunk, queueEvent) {
	for {
		if p, what := q.next(); what != 0 {
			return p, what
		}
		flush()
		<-q.more
	}
}

func (q *connQueue) next() (p queuedChunk, what queueEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.end > queueClientGone:
		return p, q.end
	case len(q.pieces) > 0:
		p = q.pieces[0]
		q.pieces = q.pieces[1:]
		return p, queueData
	case q.fin && !q.finTaken:
		q.finTaken = true
		return p, queueFin
	}
	return p, q.end
}

// finish notes that the client says no more.
func (q *connQueue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fin = true
	signal(q.more)
}

// close ends the queue: queueClientGone when all was taken, queueReset and queueDropped
// at once. A later end is one that counts more.
func (q *connQueue) close(end queueEvent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if end <= q.end {
		return
	}
	q.end = end
	if end > queueClientGone {
		for _, p := range q.pieces {
			q.bytes -= p.end - streams.Headroom
			streams.Return(p.buf)
		}
		q.pieces = nil
	}
	signal(q.more)
	signal(q.room)
}

// isDropped tells whether nothing that was said matters any more.
func (q *connQueue) isDropped() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.end > queueClientGone
}

// isPending tells whether upstream has something to take.
func (q *connQueue) isPending() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes > 0
}

// giveBack ends the use of a piece.
func (q *connQueue) giveBack(p queuedChunk) {
	q.mu.Lock()
	q.bytes -= p.end - streams.Headroom
	q.mu.Unlock()
	streams.Return(p.buf)
	signal(q.room)
}
