package spdy

import "sync"

// MaxStreams limits the open streams of one port-forward session. Each local connection has two. If
// the client opens one stream more, the session ends. edge cannot just refuse the stream: its
// header block would then be missing in the zlib stream that the server reads.
const MaxStreams = 4096

// A Peer is the role of the other end of a connection.
type Peer uint8

const (
	Client Peer = iota + 1 // opens streams, with odd IDs
	Server                 // opens no streams
)

// A Table holds the open streams of one port-forward session. The session's two sources, for the
// client and for the server, share it. The zero Table is ready to use. It is safe for concurrent
// use.
type Table struct {
	mu   sync.Mutex
	last uint32
	open map[uint32]Peer // for each open stream, the peer that has ended its direction; 0: none
}

// Len returns the number of open streams.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

func (t *Table) add(id uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id%2 == 0 || id <= t.last {
		return violation("invalid stream ID %d after %d: must be odd and increase", id, t.last)
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

// speaks reports whether the peer may still send on the stream.
func (t *Table) speaks(id uint32, p Peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ended, ok := t.open[id]
	return ok && ended != p
}

// finish ends the peer's direction of the stream. It returns false if that direction has already
// ended.
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

// reset ends both directions of the stream. It returns false if the stream was not open.
func (t *Table) reset(id uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.open[id]
	delete(t.open, id)
	return ok
}
