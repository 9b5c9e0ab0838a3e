package spdy

import "sync"

// MaxStreams bounds the streams of one port-forward session that are open at
// once. Each local connection has two. One more ends the session: the header
// block of a stream that is refused here would be missing in the zlib stream of
// those that are not.
const MaxStreams = 4096

// A Peer is the part that the other end of a leg plays.
type Peer uint8

const (
	Client Peer = iota + 1 // opens streams, with odd ids
	Server                 // opens none
)

// A Table holds the open streams of one port-forward session, for its two
// sources. The zero Table is ready. Safe for concurrent use.
type Table struct {
	mu   sync.Mutex
	last uint32
	open map[uint32]Peer // who ended its direction; 0: nobody yet
}

// Len is the number of open streams.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

func (t *Table) add(id uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id%2 == 0 || id <= t.last {
		return violation("stream id %d after %d", id, t.last)
	}
	if len(t.open) == MaxStreams {
		return tooBig("more than %d streams", MaxStreams)
	}
	if t.open == nil {
		t.open = make(map[uint32]Peer)
	}
	t.last = id
	t.open[id] = 0
	return nil
}

// speaks says whether the peer can still say something on the stream.
func (t *Table) speaks(id uint32, p Peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ended, ok := t.open[id]
	return ok && ended != p
}

// finish ends the peer's direction, if it was not ended.
func (t *Table) finish(id uint32, p Peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ended, ok := t.open[id]
	switch {
	case !ok || ended == p:
		return false
	case ended == 0:
		t.open[id] = p
	default:
		delete(t.open, id)
	}
	return true
}

// reset ends both directions, if the stream was open.
func (t *Table) reset(id uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.open[id]
	delete(t.open, id)
	return ok
}
