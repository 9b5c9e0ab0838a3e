package bridge

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"edge/streams"
)

// maxReplies bounds, in bytes, the answers that wait for one leg's peer to read
// them: some forty SPDY pings.
const maxReplies = 512

// leg is one of a session's two connections: a write side that several may use,
// answers that wait for a gap between two frames, and what is known of its peer.
//
// The lock mu is held while bytes are written, never by close: closing the
// connection is what ends a write that is stuck.
type leg struct {
	conn net.Conn
	beat func(dst []byte, paused bool) []byte // appends a keepalive in the leg's dialect

	mu sync.Mutex // one frame at a time on the wire

	state   sync.Mutex // guards what follows; never held during I/O
	pong    []byte     // one slot, the latest wins
	replies []byte     // at most maxReplies
	spare   []byte     // the other buffer of replies
	running bool       // a goroutine of ours is about to write them
	closed  bool
	done    sync.WaitGroup // that goroutine

	reading  atomic.Bool // the leg's reader waits for bytes
	in, out  atomic.Int64
	lastRead atomic.Int64 // Unix nanoseconds
}

func newLeg(conn net.Conn, beat func([]byte, bool) []byte) *leg {
	l := &leg{conn: conn, beat: beat}
	l.lastRead.Store(time.Now().UnixNano())
	return l
}

// Read reads from the peer. One goroutine does, the relay loop of the leg.
func (l *leg) Read(b []byte) (int, error) {
	l.reading.Store(true)
	n, err := l.conn.Read(b)
	l.reading.Store(false)
	if n > 0 {
		l.in.Add(int64(n))
		l.lastRead.Store(time.Now().UnixNano())
	}
	return n, err
}

// WriteRoom implements streams.Writer: b[off:] and then what waits.
func (l *leg) WriteRoom(b []byte, off int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(b[off:]); err != nil {
		return err
	}
	return l.writeReplies()
}

func (l *leg) write(b []byte) error {
	n, err := l.conn.Write(b)
	l.out.Add(int64(n))
	return err
}

// writeReplies writes what waits, mu held.
func (l *leg) writeReplies() error {
	l.state.Lock()
	if len(l.replies) == 0 && len(l.pong) == 0 {
		l.state.Unlock()
		return nil
	}
	b := append(l.replies, l.pong...)
	l.replies, l.pong = l.spare[:0], l.pong[:0]
	l.state.Unlock()
	err := l.write(b)
	l.state.Lock()
	l.spare = b[:0]
	l.state.Unlock()
	return err
}

// Pong implements streams.Replier.
func (l *leg) Pong(b []byte) {
	l.state.Lock()
	defer l.state.Unlock()
	l.pong = append(l.pong[:0], b...)
	l.wake()
}

// Reply implements streams.Replier.
func (l *leg) Reply(b []byte) error {
	l.state.Lock()
	defer l.state.Unlock()
	if len(l.replies)+len(b) > maxReplies {
		return streams.ErrReplies
	}
	l.replies = append(l.replies, b...)
	l.wake()
	return nil
}

// keepalive says something to the peer, and where its pings may lie unread
// behind data that we do not take at the moment, a pong that it did not ask for.
func (l *leg) keepalive() {
	if l.beat == nil {
		return
	}
	l.state.Lock()
	defer l.state.Unlock()
	if len(l.replies) < maxReplies/2 { // a peer that takes nothing needs no more pings
		l.replies = l.beat(l.replies, !l.reading.Load())
		l.wake()
	}
}

// wake makes sure that somebody writes what waits. The goroutine is short-lived
// and at most one for each leg, so that no reader ever waits for a write.
func (l *leg) wake() {
	if l.running || l.closed {
		return
	}
	l.running = true
	l.done.Add(1)
	go func() {
		defer l.done.Done()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.state.Lock()
		l.running = false // what comes from here on wakes another
		l.state.Unlock()
		l.writeReplies() // an error is the leg's own: its reader sees it
	}()
}

// closeWrite tells the peer that nothing more comes.
func (l *leg) closeWrite() {
	if c, ok := l.halfCloser(); ok {
		c.CloseWrite()
	}
}

func (l *leg) halfCloser() (interface{ CloseWrite() error }, bool) {
	conn := l.conn
	for range 3 { // our wrapper, gorilla's, TLS
		switch c := conn.(type) {
		case interface{ CloseWrite() error }:
			return c, true
		case *switched:
			conn = c.Conn
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil, false
		}
	}
	return nil, false
}

// close ends the leg and waits for its goroutine. Safe to call more than once.
func (l *leg) close() {
	l.shut()
	l.done.Wait()
}

// shut closes the connection, so that whoever reads or writes gets an error.
func (l *leg) shut() {
	l.state.Lock()
	l.closed = true
	l.state.Unlock()
	l.conn.Close()
}

var _ interface {
	io.Reader
	streams.Writer
	streams.Replier
} = (*leg)(nil)
