package roundtrip

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// closeTime is how long TLS's close_notify may take to write, before edge closes the TCP
// connection.
const closeTime = 250 * time.Millisecond

// A link is a connection that carries HTTP/2. It parses the frames that pass, to record what
// x/net's http2 does not expose: when a byte was last read, the last stream of a GOAWAY, and the
// newest stream that was opened.
type link struct {
	*tls.Conn
	born   time.Time
	closed func() // called once, by the first Close
	once   sync.Once

	lastRead atomic.Int64 // when bytes were last read, in ns since the field born; unique
	suspect  atomic.Bool  // true: a PING has no answer yet and is late; false after any read
	broken   atomic.Bool  // true: a read or a write failed, or Close was called
	away     func()       // called for each GOAWAY of the peer
	last     atomic.Int64 // last stream that the peer's GOAWAY names; -1: no GOAWAY arrived
	in       frames

	toWrite chan []byte      // bytes that Write passes to writeLoop
	written chan writeResult // results that writeLoop passes to Write
	closing chan struct{}    // the method Close closes this Go channel

	settled chan struct{} // closed when edge has acknowledged the peer's SETTINGS, or at Close
	settle  sync.Once
	opened  atomic.Uint32 // the newest stream whose HEADERS were written
	out     frames
	claimed uint32 // newest stream that belongs to an attempt; guarded by x/net's write lock
}

type writeResult struct {
	n   int
	err error
}

// newLink returns a link. The caller starts its writeLoop on a goroutine.
func newLink(c *tls.Conn, away, closed func()) *link {
	l := &link{
		Conn: c, born: time.Now(), away: away, closed: closed,
		toWrite: make(chan []byte), written: make(chan writeResult), closing: make(chan struct{}), settled: make(chan struct{}),
	}
	l.last.Store(-1)
	l.out.skip = len(http2.ClientPreface)
	return l
}

// readAt returns when a byte was last read, or when the connection was opened.
func (l *link) readAt() time.Time { return l.born.Add(time.Duration(l.lastRead.Load())) }

// now returns the current time in the unit of lastRead.
func (l *link) now() time.Duration { return time.Since(l.born) }

func (l *link) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if n > 0 {
		l.lastRead.Store(max(int64(l.now()), l.lastRead.Load()+1))
		if l.suspect.Load() {
			l.suspect.Store(false)
		}
		for rest := b[:n]; l.in.next(&rest); {
			if l.in.kind == http2.FrameGoAway {
				// A later GOAWAY may name a lower stream, never a higher one (RFC 9113 section
				// 6.8).
				l.last.Store(int64(binary.BigEndian.Uint32(l.in.payload()) & streamMask))
				l.away()
			}
		}
	}
	if err != nil {
		l.broken.Store(true)
	}
	return n, err
}

// writeLoop writes to the TLS connection on behalf of Write, until Close.
//
// x/net writes the HEADERS of each request on a goroutine of that request. There the calls down to
// TLS's cipher would grow the small stack to 8 KiB. When the stack shrinks, 3 KiB of memory stay
// unused for each idle watch. On the goroutine of writeLoop the stack grows once per connection.
// Passing the bytes to writeLoop costs less CPU than growing the stacks did.
func (l *link) writeLoop() {
	for {
		select {
		case b := <-l.toWrite:
			n, err := l.Conn.Write(b)
			l.written <- writeResult{n, err}
		case <-l.closing:
			return
		}
	}
}

// Write implements net.Conn. x/net's write lock guards it: only one goroutine calls it at a time.
func (l *link) Write(b []byte) (int, error) {
	select {
	case l.toWrite <- b:
	case <-l.closing:
		return 0, net.ErrClosed
	}
	result := <-l.written
	n, err := result.n, result.err
	for rest := b[:n]; l.out.next(&rest); {
		switch {
		case l.out.kind == http2.FrameHeaders && l.out.stream > l.opened.Load():
			// HEADERS with the number of an older stream are a trailer.
			l.opened.Store(l.out.stream)
		case l.out.kind == http2.FrameSettings && l.out.flags.Has(http2.FlagSettingsAck):
			l.settle.Do(func() { close(l.settled) })
		}
	}
	if err != nil {
		l.broken.Store(true)
	}
	return n, err
}

// Close implements net.Conn. It does not wait longer than closeTime for TLS to send close_notify.
func (l *link) Close() error {
	l.broken.Store(true)
	l.once.Do(func() {
		close(l.closing)
		l.closed()
	})
	l.settle.Do(func() { close(l.settled) })
	return closeTLS(l.Conn)
}

// cut closes the connection below TLS. A blocked TLS write cannot delay it.
func (l *link) cut() { l.NetConn().Close() }

func closeTLS(c *tls.Conn) error {
	cut := time.AfterFunc(closeTime, func() { c.NetConn().Close() })
	defer cut.Stop()
	return c.Close()
}

var _ net.Conn = (*link)(nil)

const (
	frameHead   = 9 // bytes of a frame header (RFC 9113 section 4.1)
	goAwayFixed = 8 // bytes that every GOAWAY payload begins with
	streamMask  = 1<<31 - 1
)

// frames finds the HTTP/2 frames in the bytes of a connection, wherever reads and writes cut the
// bytes.
type frames struct {
	kind   http2.FrameType
	flags  http2.Flags
	stream uint32

	skip int // number of bytes of the current frame's payload still to skip
	buf  [frameHead + goAwayFixed]byte
	got  int // number of bytes in the field buf
}

// next removes from b all bytes up to the end of the next frame header. It returns false if b ends
// before that.
func (f *frames) next(b *[]byte) bool {
	for len(*b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(*b))
			f.skip -= n
			*b = (*b)[n:]
			continue
		}
		n := copy(f.buf[f.got:f.need()], *b)
		f.got += n
		*b = (*b)[n:]
		if f.got < f.need() {
			continue
		}
		length := int(f.buf[0])<<16 | int(f.buf[1])<<8 | int(f.buf[2])
		f.kind, f.flags = http2.FrameType(f.buf[3]), http2.Flags(f.buf[4])
		f.stream = binary.BigEndian.Uint32(f.buf[5:]) & streamMask
		f.skip = length - (f.got - frameHead)
		f.got = 0
		return true
	}
	return false
}

// need is the number of bytes of the current frame that the field buf must hold.
func (f *frames) need() int {
	// A GOAWAY whose payload is shorter than goAwayFixed is invalid; x/net reports that.
	short := f.buf[0] == 0 && f.buf[1] == 0 && f.buf[2] < goAwayFixed
	if f.got < frameHead || http2.FrameType(f.buf[3]) != http2.FrameGoAway || short {
		return frameHead
	}
	return len(f.buf)
}

// payload returns the fixed part of a GOAWAY's payload.
func (f *frames) payload() []byte { return f.buf[frameHead:] }
