package session

import (
	"io"
	"time"

	"edge/bridge/internal/leg"
	"edge/streams"
)

// rawWait is what a rawSource waits with, in bytes: most of what an idle
// console says fits.
const rawWait = 512

// A rawSource gives the bytes of a protocol that edge does not read. It borrows a
// buffer only while more comes than what it waits with.
type rawSource struct {
	r     io.Reader
	some  [streams.Headroom + rawWait]byte
	buf   *streams.Buffer
	large bool // the last read found much: the next one may as well
}

// Next implements streams.Source.
func (s *rawSource) Next() (streams.Frame, error) {
	b, n, err := s.fill(nil)
	if n == 0 && err != nil {
		return streams.Frame{}, err
	}
	return streams.Frame{Kind: streams.Data, Buf: b, Off: streams.Headroom}, nil
}

// fill reads n bytes behind what is held, and returns both behind room.
func (s *rawSource) fill(held []byte) (b []byte, n int, err error) {
	b = s.some[:]
	if s.large {
		if s.buf == nil {
			s.buf = streams.Borrow()
		}
		b = s.buf[:]
	} else {
		s.close()
	}
	off := streams.Headroom + copy(b[streams.Headroom:], held)
	n, err = s.r.Read(b[off:])
	s.large = n >= rawWait-len(held)
	return b[:off+n], n, err
}

// close gives the buffer back.
func (s *rawSource) close() {
	if s.buf != nil {
		streams.Return(s.buf)
		s.buf = nil
	}
}

// stall bounds one write of a protocol that edge does not read, and an exec's
// last words: nothing else would tell of a client that is there and takes no bytes.
const stall = 10 * time.Minute

// A rawSink writes them, at once.
type rawSink struct{ leg *leg.Leg }

// Write implements streams.Sink.
func (s rawSink) Write(f streams.Frame) error {
	if len(f.Payload()) == 0 {
		return nil
	}
	s.leg.Conn.SetWriteDeadline(time.Now().Add(stall))
	return s.leg.WriteRoom(f.Buf, f.Off)
}

// Flush implements streams.Sink.
func (rawSink) Flush() error { return nil }
