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
	// maxReplies limits the bytes of replies, such as pongs, that wait until one leg's peer reads:
	// about forty SPDY pings.
	maxReplies = 512
	// ResetReply is the size, in bytes, of a reply that resets one SPDY stream, also in a tunnel
	// (SPDY inside WebSocket).
	ResetReply = 24
)

// Leg is one of a session's two connections. Several goroutines may write to it. It writes replies,
// such as pongs, only between two frames, and records what is known about its peer.
//
// The lock mu is held during writes. Close and Cut do not wait for mu, because closing the
// connection is what ends a blocked write.
type Leg struct {
	Conn net.Conn
	// appendKeepalive appends a keepalive, such as a ping, in the protocol of the leg's peer. nil:
	// the leg has no keepalives.
	appendKeepalive func(dst []byte, paused bool) []byte
	// onLost, if not nil, is called when a reply or a keepalive cannot be written.
	onLost func()

	mu sync.Mutex // held while a frame or a reply is written to the connection
	// holding is true while the leg's writeBuffer keeps bytes back. It is changed only by a
	// goroutine that holds mu.
	holding atomic.Bool
	// lastWritten is set by WriteLast: later writes are dropped. Guarded by mu.
	lastWritten bool
	midFrame    bool // true: the last write ended inside a frame, see WritePart

	state   sync.Mutex // guards the fields from pong to closed; never held during I/O
	pong    []byte     // the encoded pong to send; a newer pong replaces it
	replies []byte     // encoded replies to send, at most maxReplies+extraReplies bytes
	// expected is the pong that ExpectPong waits for; nil: none. It is a pointer, because a session
	// expects a pong only at its end.
	expected *expectedPong
	// extraReplies is the number of bytes of replies that may wait in addition to maxReplies. It
	// makes room for replies whose number the protocol limits, such as one reset for each stream.
	// It is set before the leg is used.
	extraReplies int
	spare        []byte // second buffer for replies, used while the field replies is written
	// writing is true while a goroutine of the leg is about to write the replies that wait.
	writing bool
	closed  bool
	done    sync.WaitGroup // used to wait until the goroutine that writes replies has ended
	// writeReplyLoop is the function of the goroutine that writes replies. It is allocated once,
	// because each keepalive starts the goroutine.
	writeReplyLoop func()

	// pollable is the pollConn below TLS and other layers of Conn; nil if Conn cannot be read
	// without waiting.
	pollable  pollable
	moderator readModerator // used by the leg's reader only
	// shortWaits counts consecutive waits shorter than longWait, up to manyShortWaits.
	shortWaits int
	// idle detects that the leg, after bytes have arrived often, has become idle.
	idle idleTimer
	// waitingSince is when the leg's reader began to wait outside Read, see beginWait.
	waitingSince time.Time
	reading      atomic.Bool // true: the leg's reader waits for bytes, or an IdlePoller waits for it
	in, out      atomic.Int64

	lastRead     int64 // number of bytes read up to the last call of Silent
	silentChecks int   // number of calls of Silent in a row that found no new bytes
}

// expectedPong is a WebSocket pong that the peer has not sent yet.
type expectedPong struct {
	payload string
	arrived chan struct{} // closed when the pong arrives
}

// pollable lists the methods of pollConn that a Leg uses.
type pollable interface {
	// setNonBlocking(true, _) makes Reads return without waiting for bytes. If the parameter again
	// is true, a Read queries the kernel even if the last Read drained the socket.
	setNonBlocking(try, again bool)
	readWaitCount() int // number of Reads so far that may have waited for bytes
	resetDrained()      // makes the next non-blocking Read query the kernel
	await() error       // waits until a Read would return bytes, the end or an error
	// park lets the IdlePoller p call the function wake once, when a Read would return without
	// waiting. If park returns false, wake is never called.
	park(p *IdlePoller, wake func()) bool
	interrupt()                // makes the waiting Read, or the next one, return errWouldBlock
	gatherFor(d time.Duration) // sleeps so that small segments arrive together
	stallMeter
	unsent() int    // bytes in the kernel that the peer has not acknowledged
	hasEnded() bool // whether a Read has returned the end
	hold()          // keeps back the bytes of later writes until flush is called
	flush() error   // writes the bytes that were kept back since hold was called
}

// A stallMeter measures how long writes wait because the peer does not read.
type stallMeter interface {
	// measureStalls makes stalled measure the writes from now on.
	measureStalls()
	// stalled returns how long writes have waited so far, and whether one waits at the moment.
	stalled() (total time.Duration, now bool)
}

// New returns a leg for conn, one connection of a session. The function beat appends a keepalive;
// if beat is nil, the leg has no keepalives. The function lost, if not nil, is called when a reply
// or a keepalive cannot be written.
func New(conn net.Conn, beat func([]byte, bool) []byte, lost func()) *Leg {
	l := &Leg{Conn: conn, appendKeepalive: beat, onLost: lost}
	if l.pollable = pollableOf(conn); l.pollable != nil {
		l.pollable.measureStalls()
	}
	return l
}

// pollableOf returns the pollConn below TLS and other layers of conn, or nil if there is none.
func pollableOf(conn net.Conn) (p pollable) {
	find(conn, func(conn net.Conn) (ok bool) {
		p, ok = conn.(pollable)
		return ok
	})
	return p
}

// CanTry reports whether TryRead can read conn without waiting.
func CanTry(conn net.Conn) bool { return pollableOf(conn) != nil }

// TryRead reads the bytes that have arrived, without waiting. CanTry(conn) must be true. The result
// all is true if no more bytes have arrived, and the connection has neither ended nor failed.
func TryRead(conn net.Conn, b []byte) (n int, all bool) {
	poll := pollableOf(conn)
	poll.setNonBlocking(true, true)
	defer poll.setNonBlocking(false, false)
	n, err := conn.Read(b)
	return n, errors.Is(err, streams.ErrWouldBlock)
}

// HasHalfClosed reports whether the peer ended its output with a TLS close_notify only. The TCP
// connection then may still be open. Call it after Read has returned the end.
func (l *Leg) HasHalfClosed() bool { return l.pollable != nil && !l.pollable.hasEnded() }

// IsReading reports whether the leg's reader waits for bytes.
func (l *Leg) IsReading() bool { return l.reading.Load() }

// BytesRead and BytesWritten return the number of bytes read and written so far.
func (l *Leg) BytesRead() int64    { return l.in.Load() }
func (l *Leg) BytesWritten() int64 { return l.out.Load() }

// Stalled returns how long writes to the peer have waited so far because the peer did not read. A
// write that waits at the moment counts until now. The result never decreases. It is 0 if the
// connection is not one of Pollable.
func (l *Leg) Stalled() time.Duration {
	if l.pollable == nil {
		return 0
	}
	total, _ := l.pollable.stalled()
	return total
}

// IsStalled reports whether a write to the peer waits because the peer does not read.
func (l *Leg) IsStalled() bool {
	if l.pollable == nil {
		return false
	}
	_, now := l.pollable.stalled()
	return now
}

// AllowReplies raises the limit of the replies that wait to be sent by the given number of bytes.
// It makes room for replies whose number the protocol limits, such as one reset for each stream.
// Call it before the leg is used.
func (l *Leg) AllowReplies(bytes int) { l.extraReplies = bytes }

// CloseWrite half-closes the connection: the peer reads the end of the data.
func (l *Leg) CloseWrite() {
	find(l.Conn, func(conn net.Conn) bool {
		c, ok := conn.(interface{ CloseWrite() error })
		if ok {
			c.CloseWrite()
		}
		return ok
	})
}

// maxLayers limits how many connections can wrap each other: edge's own, gorilla's, those of
// package serving above and below TLS, TLS, and TCP.
const maxLayers = 6

// find calls the function in the parameter is, first with conn and then with each connection that
// conn wraps, until the function returns true.
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

// Close closes the leg and waits until the goroutine that writes its replies has ended. It may be
// called more than once.
func (l *Leg) Close() {
	l.markClosed()
	l.idle.stop()
	if l.mu.TryLock() {
		l.mu.Unlock()
	} else {
		// A write is blocked in the writeBuffer. Closing TLS would wait for that write, so cut the
		// connection below TLS.
		l.Cut()
	}
	l.Conn.Close()
	l.done.Wait()
}

// Cut closes the TCP connection, so that every read and write fails. It does not wait. Closing the
// TLS connection instead could wait up to 5 s to send close_notify to a peer that does not read.
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
