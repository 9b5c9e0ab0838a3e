package session

import (
	"sync"
	"time"

	"edge/streams"
)

// maxQueued is the maximum number of bytes of one connection of a port-forward that wait for
// upstream.
const maxQueued = 256 << 10

// A connQueue holds, in borrowed buffers, the client's data on one connection that upstream has not
// read yet. One goroutine calls put, another take, and any goroutine may call close.
type connQueue struct {
	mu       sync.Mutex
	pieces   []queuedChunk
	bytes    int        // number of bytes that were put and not given back yet
	fin      bool       // true: the client has ended its data
	finTaken bool       // true: the method take has returned queueFin
	end      queueEvent // how the queue ended (queueClientGone to queueDropped); 0: open

	// more is a Go channel with one slot, used as a signal: the slot is full if the method take can
	// return data or an event.
	more chan struct{}
	// room is a Go channel with one slot, used as a signal: the slot is full if giveBack has made
	// the queue shorter, so that put may succeed, or if the queue was closed.
	room chan struct{}
}

// A queuedChunk is a piece of data in a connQueue: the bytes buf[streams.Headroom:end].
type queuedChunk struct {
	buf *streams.Buffer
	end int
}

// queueEvent is what take returns: data, or how the client's data ended.
type queueEvent int

const (
	queueData       queueEvent = iota + 1
	queueFin                   // the client ended its data; returned once
	queueClientGone            // the client has disconnected, and all its data was taken
	queueReset                 // the client reset the connection
	queueDropped               // the connection is over, and its data is dropped
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

// put adds a copy of b, at most streams.MaxData bytes. It returns false if the queue is full.
func (q *connQueue) put(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fin || q.end != 0 {
		return true // data that is put after the end is dropped
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

// take returns the next chunk of data or event. If the queue is empty, take calls the function
// flush before it waits.
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

// finish records that the client has ended its data.
func (q *connQueue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fin = true
	signal(q.more)
}

// close ends the queue. The event queueClientGone takes effect when all data was taken, queueReset
// and queueDropped at once. A second call has an effect only if its event is a later constant of
// the type queueEvent.
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

// isDropped reports whether the data of the queue is not needed any more.
func (q *connQueue) isDropped() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.end > queueClientGone
}

// isPending reports whether upstream has not yet read some data of the queue.
func (q *connQueue) isPending() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes > 0
}

// giveBack takes back a chunk that take has returned, when its data has been sent.
func (q *connQueue) giveBack(p queuedChunk) {
	q.mu.Lock()
	q.bytes -= p.end - streams.Headroom
	q.mu.Unlock()
	streams.Return(p.buf)
	signal(q.room)
}

// enqueue adds data of a connection to its queue. If the queue is full, edge stops reading from the
// client for up to HoldBack, and then resets this connection only. If the client has no other
// connection, the data may wait without limit, as it may at the API server, for example during a
// database import that waits for a lock.
func (f *fanout) enqueue(c *forwardConn, b []byte) {
	if c.queue.put(b) {
		return
	}
	late := time.NewTimer(f.Times.HoldBack)
	defer late.Stop()
	for !c.queue.put(b) {
		select {
		case <-c.queue.room:
		case <-f.session.done:
			c.queue.close(queueClientGone) // the data would have a gap: put drops all that follows
			return
		case <-late.C:
			if f.isAlone(c) {
				late.Reset(f.Times.HoldBack)
				continue
			}
			f.log.Warn("port-forward connection reset: upstream did not read its data, so it held up the others", "session", f.ID, "port", c.port, "for", f.Times.HoldBack)
			f.mu.Lock()
			carrier := c.upstream
			cut := carrier != nil && f.readers[carrier]
			f.mu.Unlock()
			f.reset(c)
			if cut {
				// forwardSession.read then fails, and resets all connections of this upstream session.
				carrier.leg.Cut()
			}
			return
		}
	}
}

// isAlone reports whether c is the client's only connection.
func (f *fanout) isAlone(c *forwardConn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, other := range f.conns {
		if other != c {
			return false
		}
	}
	return true
}
