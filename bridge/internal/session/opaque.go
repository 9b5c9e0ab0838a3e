package session

import (
	"io"
	"time"

	"edge/bridge/internal/leg"
	"edge/streams"
)

// rawWait is the size, in bytes, of the small buffer of a rawSource, into which it reads while few
// bytes arrive. Most of the output of an idle console fits.
const rawWait = 512

// A rawSource reads the bytes of a protocol that edge does not parse. It borrows a large buffer
// only while more bytes arrive than its own small buffer holds.
type rawSource struct {
	r     io.Reader
	some  [streams.Headroom + rawWait]byte
	buf   *streams.Buffer
	large bool // true: the last read filled the small buffer, so the next one may too
}

// Next implements streams.Source: it returns the next bytes as a frame.
func (s *rawSource) Next() (streams.Frame, error) {
	b, n, err := s.fill(nil)
	if n == 0 && err != nil {
		return streams.Frame{}, err
	}
	return streams.Frame{Kind: streams.Data, Buf: b, Off: streams.Headroom}, nil
}

// fill reads bytes into a buffer, behind a copy of the parameter held. The result b is the buffer:
// headroom (free bytes for a frame header), the bytes of held, and the n new bytes.
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

// close returns the borrowed buffer to its pool.
func (s *rawSource) close() {
	if s.buf != nil {
		streams.Return(s.buf)
		s.buf = nil
	}
}

// stall is the timeout for one write of a protocol that edge does not parse, and of the final
// Status of an exec. Without it, edge would not detect a client that stays connected but does not
// read.
const stall = 10 * time.Minute

// A rawSink writes the bytes of a rawSource at once.
type rawSink struct{ leg *leg.Leg }

// Write implements streams.Sink: it writes the bytes of the frame.
func (s rawSink) Write(f streams.Frame) error {
	if len(f.Payload()) == 0 {
		return nil
	}
	s.leg.Conn.SetWriteDeadline(time.Now().Add(stall))
	return s.leg.WriteRoom(f.Buf, f.Off)
}

// Flush implements streams.Sink. It does nothing, because Write keeps nothing back.
func (rawSink) Flush() error { return nil }

// relayOpaque relays the bytes of a protocol that edge does not parse.
func (p codecs) relayOpaque(s *session) {
	fromClient, toClient := &rawSource{r: s.down}, &rawSource{r: s.up}
	forward := twoWay{session: s, kind: new(symmetric)}
	forward.fromClient.src, forward.fromClient.sink = fromClient, rawSink{s.up}
	forward.toClient.src, forward.toClient.sink = toClient, rawSink{s.down}
	forward.run()
	fromClient.close()
	toClient.close()
}
