package bridge

import (
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
	// resetReply is what the reset of one stream takes among them, also in a tunnel.
	resetReply = 24
)

// leg is one of a session's two connections: a write side that several may use,
// answers that wait for a gap between two frames, and what is known of its peer.
//
// The lock mu is held while bytes are written, never by close: closing the
// connection is what ends a write that is stuck.
type leg struct {
	conn net.Conn
	beat func(dst []byte, paused bool) []byte // appends a keepalive in the leg's dialect
	lost func()                               // called when an answer or a keepalive cannot be written

	mu     sync.Mutex  // one frame at a time on the wire
	said   bool        // the last word: what is written from here on is dropped; changes under mu
	kept   atomic.Bool // a burst is not out yet; changes under mu
	within bool        // the last write was a part of a frame; see writePart

	state   sync.Mutex // guards what follows; never held during I/O
	pong    []byte     // one slot, the latest wins
	replies []byte     // at most maxReplies and extra
	extra   int        // bytes more for answers that have a bound of their own; set before the leg is used
	spare   []byte     // the other buffer of replies
	running bool       // a goroutine of ours is about to write them
	closed  bool
	done    sync.WaitGroup // that goroutine
	drain   func()         // what it does; made once, since each keepalive has one

	poll    poller      // at the bottom of conn; nil: cannot read without waiting
	haste   haste       // of the leg's reader
	brief   int         // waits in a row of less than longWait, at most manyBrief
	lull    lull        // looks for an end of those
	parked  time.Time   // since when the leg's loop has no goroutine
	reading atomic.Bool // the leg's reader waits for bytes, or is parked
	in, out atomic.Int64

	heard   int64 // in, when silent was asked last
	unheard int   // times in a row that it had not grown
}

// silent counts how often in a row it was asked while the leg's reader waited, and
// nothing had come. One goroutine asks.
func (l *leg) silent() int {
	in := l.in.Load()
	if in != l.heard || !l.reading.Load() {
		l.heard, l.unheard = in, 0
	} else {
		l.unheard++
	}
	return l.unheard
}

// poller is what pollConn offers.
type poller interface {
	setTry(try, again bool)               // the next Reads do not wait; again: they ask the kernel, whatever the last one took
	waits() int                           // Reads that may have waited, so far
	askAgain()                            // the next try asks the kernel, whatever the last one took
	await() error                         // returns when a Read would not wait
	park(p *idlePoller, wake func()) bool // wake is called when a Read would not wait; false: it never is
	rouse()                               // the Read that waits, or the next one, returns errWouldBlock
	gather(time.Duration)                 // lets bytes come together for that long
	unsent() int                          // bytes that the peer has not taken yet
	hasEnded() bool                       // a Read gave the end
	put()                                 // keeps back what is written from here on
	pull() error                          // writes it
}

// newLeg makes a leg of a connection. Without beat it has no keepalives; lost may
// be nil.
func newLeg(conn net.Conn, beat func([]byte, bool) []byte, lost func()) *leg {
	l := &leg{conn: conn, beat: beat, lost: lost}
	l.find(func(conn net.Conn) (ok bool) {
		l.poll, ok = conn.(poller)
		return ok
	})
	return l
}

// Read reads from the peer. One goroutine does, the relay loop of the leg.
func (l *leg) Read(b []byte) (int, error) {
	var waits int
	if l.poll != nil {
		waits = l.poll.waits()
		l.watchLull()
	}
	l.reading.Store(true)
	begin := time.Now()
	n, err := l.conn.Read(b)
	l.reading.Store(false)
	if l.poll != nil && l.poll.waits() != waits { // what TLS had in hand already was no wait
		d := time.Since(begin)
		l.waited(d)
		if l.haste.waited(d, n, l.out.Load()) {
			l.poll.gather(moderation)
		}
	}
	if n > 0 {
		l.in.Add(int64(n))
	}
	return n, err
}

// TryRead implements streams.Trier.
func (l *leg) TryRead(b []byte, again bool) (int, error) {
	if l.poll == nil {
		return 0, errWouldBlock
	}
	l.poll.setTry(true, again)
	n, err := l.conn.Read(b)
	l.poll.setTry(false, false)
	if n > 0 {
		l.in.Add(int64(n))
	}
	return n, err
}

// unsent is how many bytes the peer has not taken yet, as far as that is known.
func (l *leg) unsent() int {
	if l.poll == nil {
		return 0
	}
	return l.poll.unsent()
}

// WriteRoom implements streams.Writer: what waits, and then b[off:]. A stream's
// accept must not come after its data.
func (l *leg) WriteRoom(b []byte, off int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writeReplies(); err != nil {
		return err
	}
	return l.write(b[off:])
}

// lastWord writes b, after what waits. Whatever is written later is dropped, another last word too.
func (l *leg) lastWord(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said {
		return nil
	}
	defer func() { l.said = true }()
	if err := l.writeReplies(); err != nil {
		return err
	}
	return l.write(b)
}

// writeReplies writes what waits, mu held; within a frame it goes on waiting.
func (l *leg) writeReplies() error {
	if l.within {
		return nil
	}
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
	if len(l.replies)+len(b) > maxReplies+l.extra {
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

// probe writes a keepalive at once, unless somebody else writes.
func (l *leg) probe() error {
	if !l.mu.TryLock() {
		return nil
	}
	defer l.mu.Unlock()
	l.state.Lock()
	b := l.beat(nil, false)
	l.state.Unlock()
	return l.write(b)
}

// wake makes sure that somebody writes what waits. The goroutine is short-lived
// and at most one for each leg, so that no reader ever waits for a write.
func (l *leg) wake() {
	if l.running || l.closed {
		return
	}
	l.running = true
	l.done.Add(1)
	if l.drain == nil {
		l.drain = l.writeWaiting
	}
	go l.drain()
}

func (l *leg) writeWaiting() {
	defer l.done.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Lock()
	l.running = false // what comes from here on wakes another
	l.state.Unlock()
	if l.writeReplies() != nil && l.lost != nil {
		l.lost()
	}
}

// closeWrite tells the peer that nothing more comes.
func (l *leg) closeWrite() {
	l.find(func(conn net.Conn) bool {
		c, ok := conn.(interface{ CloseWrite() error })
		if ok {
			c.CloseWrite()
		}
		return ok
	})
}

// maxLayers bounds the connections around a connection: ours, gorilla's, package serving's above and below TLS, TLS, TCP.
const maxLayers = 6

// find shows the connection and then those below it, until is says yes.
func (l *leg) find(is func(net.Conn) bool) {
	conn := l.conn
	for range maxLayers {
		if is(conn) {
			return
		}
		switch c := conn.(type) {
		case *switched:
			conn = c.Conn
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return
		}
	}
}

// close ends the leg and waits for its goroutine. Safe to call more than once.
func (l *leg) close() {
	l.noMore()
	l.lull.stop()
	if l.mu.TryLock() {
		l.mu.Unlock()
	} else { // TLS knows of no write that is stuck in the cork, and would wait for it
		l.shut()
	}
	l.conn.Close()
	l.done.Wait()
}

// shut cuts the connection, so that whoever reads or writes gets an error. It
// does not wait: TLS would, for 5 s, to say goodbye to a peer that reads nothing.
func (l *leg) shut() {
	l.noMore()
	bottom := l.conn
	l.find(func(conn net.Conn) bool {
		bottom = conn
		return false
	})
	bottom.Close()
}

func (l *leg) noMore() {
	l.state.Lock()
	l.closed = true
	l.state.Unlock()
}

var _ interface {
	streams.Trier
	streams.Writer
	streams.Replier
} = (*leg)(nil)
