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

// closeTime is how long a connection's last TLS record may take, before the connection is cut.
const closeTime = 250 * time.Millisecond

// A link is a connection that carries HTTP/2, and knows what of it can be known without an HTTP/2 library: when something
// was read, up to which stream the peer goes on, and which stream was opened last.
type link struct {
	*tls.Conn
	born   time.Time
	closed func() // once
	once   sync.Once

	lastRead atomic.Int64 // since born; no two reads have the same
	suspect  atomic.Bool  // a PING is late; any byte takes that back
	broken   atomic.Bool  // a read or a write failed, or Close was called
	away     func()       // at the peer's GOAWAY
	last     atomic.Int64 // the last stream that the peer goes on with; -1: it said no GOAWAY
	in       frames

	toWrite chan []byte      // from Write to writeLoop
	written chan writeResult // and back
	closing chan struct{}    // closed by Close

	settled chan struct{} // closed once the peer's SETTINGS are heeded, or there will be none
	settle  sync.Once
	opened  atomic.Uint32 // the newest stream whose HEADERS were written
	out     frames
	claimed uint32 // that of the newest request that knows its stream; guarded as writes are, see attempt.wrote
}

type writeResult struct {
	n   int
	err error
}

// newLink makes a link, whose writeLoop is to be run.
func newLink(c *tls.Conn, away, closed func()) *link {
	l := &link{
		Conn: c, born: time.Now(), away: away, closed: closed,
		toWrite: make(chan []byte), written: make(chan writeResult), closing: make(chan struct{}), settled: make(chan struct{}),
	}
	l.last.Store(-1)
	l.out.skip = len(http2.ClientPreface)
	return l
}

// readAt is when something was read last, or when the connection was made.
func (l *link) readAt() time.Time { return l.born.Add(time.Duration(l.lastRead.Load())) }

// now is a time as lastRead's.
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
				// It may say less than the last time, and never more (RFC 9113 section 6.8).
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

// writeLoop writes what Write is given, until Close. x/net writes a request's HEADERS on a goroutine of the request's own, whose
// young stack the calls down to TLS's cipher would grow to 8 KiB; when that shrinks it leaves a hole, 3 KiB for each idle watch.
// Here the stack grows once for a connection. The way over costs less CPU than the growing did.
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

// Write implements net.Conn. One goroutine calls it at a time: x/net has a lock for it.
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
		case l.out.kind == http2.FrameHeaders && l.out.stream > l.opened.Load(): // others are trailers
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

// Close implements net.Conn. TLS would wait for room for its last word.
func (l *link) Close() error {
	l.broken.Store(true)
	l.once.Do(func() {
		close(l.closing)
		l.closed()
	})
	l.settle.Do(func() { close(l.settled) })
	return closeTLS(l.Conn)
}

// cut closes the connection below TLS, so that no write holds up.
func (l *link) cut() { l.NetConn().Close() }

func closeTLS(c *tls.Conn) error {
	cut := time.AfterFunc(closeTime, func() { c.NetConn().Close() })
	defer cut.Stop()
	return c.Close()
}

var _ net.Conn = (*link)(nil)

const (
	frameHead   = 9 // bytes (RFC 9113 section 4.1)
	goAwayFixed = 8 // bytes of GOAWAY's payload that it always has
	streamMask  = 1<<31 - 1
)

// frames finds HTTP/2's frames in a connection's bytes, however they are cut.
type frames struct {
	kind   http2.FrameType
	flags  http2.Flags
	stream uint32

	skip int // of the payload
	buf  [frameHead + goAwayFixed]byte
	got  int // in buf
}

// next takes from b up to and with the next frame's head; false: there was none whole.
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

// need is how much of the frame in buf is kept.
func (f *frames) need() int {
	short := f.buf[0] == 0 && f.buf[1] == 0 && f.buf[2] < goAwayFixed // an error of the peer's, which HTTP/2 finds
	if f.got < frameHead || http2.FrameType(f.buf[3]) != http2.FrameGoAway || short {
		return frameHead
	}
	return len(f.buf)
}

// payload is the beginning of a GOAWAY's.
func (f *frames) payload() []byte { return f.buf[frameHead:] }
