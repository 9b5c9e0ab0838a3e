package leg

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"edge/streams"
)

const (
	// maxReplies bounds, in bytes, the answers that wait for one leg's peer to read
	// them: some forty SPDY pings.
	maxReplies = 512
	// ResetReply is what the reset of one stream takes among them, also in a tunnel.
	ResetReply = 24
)

// Leg is one of a session's two connections: a write side that several may use,
// answers that wait for a gap between two frames, and what is known of its peer.
//
// The lock mu is held while bytes are written, never by close: closing the
// connection is what ends a write that is stuck.
type Leg struct {
	Conn            net.Conn
	appendKeepalive func(dst []byte, paused bool) []byte // appends a keepalive in the leg's dialect
	onLost          func()                               // called when an answer or a keepalive cannot be written

	mu          sync.Mutex  // one frame at a time on the wire
	lastWritten bool        // the last word: what is written from here on is dropped; changes under mu
	holding     atomic.Bool // what is held is not out yet; changes under mu
	midFrame    bool        // the last write was a part of a frame; see writePart

	state          sync.Mutex // guards what follows; never held during I/O
	pong           []byte     // one slot, the latest wins
	replies        []byte     // at most maxReplies and extra
	extraReplies   int        // bytes more for answers that have a bound of their own; set before the leg is used
	spare          []byte     // the other buffer of replies
	writing        bool       // a goroutine of ours is about to write them
	closed         bool
	done           sync.WaitGroup // that goroutine
	writeReplyLoop func()         // what it does; made once, since each keepalive has one

	pollable     pollable      // at the bottom of conn; nil: cannot read without waiting
	moderator    readModerator // of the leg's reader
	shortWaits   int           // waits in a row of less than longWait, at most manyShortWaits
	idle         idleTimer     // looks for an end of those
	waitingSince time.Time     // since when the leg\'s reader waits without a Read, see beginWait
	reading      atomic.Bool   // the leg's reader waits for bytes, or is parked
	in, out      atomic.Int64

	lastRead     int64 // in, when silent was asked last
	silentChecks int   // times in a row that it had not grown
}

// pollable is what pollConn offers.
type pollable interface {
	setNonBlocking(try, again bool)       // the next Reads do not wait; again: they ask the kernel, whatever the last one took
	readWaitCount() int                   // Reads that may have waited, so far
	resetDrained()                        // the next try asks the kernel, whatever the last one took
	await() error                         // returns when a Read would not wait
	park(p *IdlePoller, wake func()) bool // wake is called when a Read would not wait; false: it never is
	interrupt()                           // the Read that waits, or the next one, returns errWouldBlock
	gatherFor(time.Duration)              // lets bytes come together for that long
	unsent() int                          // bytes that the peer has not taken yet
	hasEnded() bool                       // a Read gave the end
	hold()                                // keeps back what is written from here on
	flush() error                         // writes it
}

// New makes a leg of a connection. Without beat it has no keepalives; lost may
// be nil.
func New(conn net.Conn, beat func([]byte, bool) []byte, lost func()) *Leg {
	l := &Leg{Conn: conn, appendKeepalive: beat, onLost: lost}
	l.pollable = pollableOf(conn)
	return l
}

// pollableOf finds the poller below a connection; nil: there is none.
func pollableOf(conn net.Conn) (p pollable) {
	find(conn, func(conn net.Conn) (ok bool) {
		p, ok = conn.(pollable)
		return ok
	})
	return p
}

// CanTry tells whether a connection can be read without waiting.
func CanTry(conn net.Conn) bool { return pollableOf(conn) != nil }

// TryRead reads from such a connection what is there, and tells whether that is all for now: neither an end nor an error.
func TryRead(conn net.Conn, b []byte) (n int, all bool) {
	poll := pollableOf(conn)
	poll.setNonBlocking(true, true)
	defer poll.setNonBlocking(false, false)
	n, err := conn.Read(b)
	return n, errors.Is(err, streams.ErrWouldBlock)
}

// HasHalfClosed tells whether the peer, whose end was read, has said in TLS that it says no more: its connection need not
// have ended.
func (l *Leg) HasHalfClosed() bool { return l.pollable != nil && !l.pollable.hasEnded() }

// IsReading tells whether the leg's reader waits for bytes.
func (l *Leg) IsReading() bool { return l.reading.Load() }

// BytesRead and bytesOut are what was read and written so far.
func (l *Leg) BytesRead() int64    { return l.in.Load() }
func (l *Leg) BytesWritten() int64 { return l.out.Load() }

// AllowReplies makes room for answers that have a bound of their own, in bytes. It is called before the leg is used.
func (l *Leg) AllowReplies(bytes int) { l.extraReplies = bytes }

// CloseWrite tells the peer that nothing more comes.
func (l *Leg) CloseWrite() {
	find(l.Conn, func(conn net.Conn) bool {
		c, ok := conn.(interface{ CloseWrite() error })
		if ok {
			c.CloseWrite()
		}
		return ok
	})
}

// maxLayers bounds the connections around a connection: ours, gorilla's, package serving's above and below TLS, TLS, TCP.
const maxLayers = 6

// find shows a connection and then those below it, until is says yes.
func find(conn net.Conn, is func(net.Conn) bool) {
	for range maxLayers {
		if is(conn) {
			return
		}
		above, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		conn = above.NetConn()
	}
}

// Close ends the leg and waits for its goroutine. Safe to call more than once.
func (l *Leg) Close() {
	l.markClosed()
	l.idle.stop()
	if l.mu.TryLock() {
		l.mu.Unlock()
	} else { // TLS knows of no write that is stuck in the writeBuffer, and would wait for it
		l.Cut()
	}
	l.Conn.Close()
	l.done.Wait()
}

// Cut cuts the connection, so that whoever reads or writes gets an error. It
// does not wait: TLS would, for 5 s, to say goodbye to a peer that reads nothing.
func (l *Leg) Cut() {
	l.markClosed()
	bottom := l.Conn
	find(l.Conn, func(conn net.Conn) bool {
		bottom = conn
		return false
	})
	bottom.Close()
}

func (l *Leg) markClosed() {
	l.state.Lock()
	l.closed = true
	l.state.Unlock()
}

var _ interface {
	streams.Trier
	streams.Writer
	streams.Replier
} = (*Leg)(nil)
