package session

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"edge/bridge/internal/leg"
	"edge/streams"
	"edge/streams/ws"
)

// unreadWebSocket is what the two legs of a WebSocket that edge does not read have between
// them: keepalives of edge's own between the frames, which end with a Close.
type unreadWebSocket struct {
	down, up unreadKeepalive
	closed   atomic.Bool // one side said Close
}

func newUnreadWebSocket() *unreadWebSocket {
	p := &unreadWebSocket{}
	for _, b := range []*unreadKeepalive{&p.down, &p.up} {
		binary.LittleEndian.PutUint64(b.own[:], rand.Uint64())
		b.closed = &p.closed
	}
	p.up.client = true
	return p
}

// unreadKeepalive makes the keepalives of one leg.
type unreadKeepalive struct {
	own    [ws.OwnSize]byte // the payload of the pings, by which their pongs are known
	client bool             // towards upstream, where frames are masked
	closed *atomic.Bool
	// pinged: a ping of the other side's has passed since the last keepalive. That was
	// one, and a peer may answer the last ping only (RFC 6455 section 5.5.3).
	pinged atomic.Bool
}

func (p *unreadKeepalive) appendTo(dst []byte, _ bool) []byte {
	switch {
	case p.closed.Load(), p.pinged.Swap(false):
		return dst
	case p.client:
		return ws.AppendClientPing(dst, p.own[:])
	}
	return ws.AppendPing(dst, p.own[:])
}

// unreadSource gives the bytes of a WebSocket that edge does not read, but for the
// pongs that answer edge's own pings.
type unreadSource struct {
	rawSource
	passage ws.Passage
	b       []byte // of a buffer, read and not yet looked at
	off     int    // where it begins there
	held    [ws.MaxHeld]byte
	holds   int // bytes of held
	err     error
}

// Next implements streams.Source. At the end it gives what it still holds.
func (s *unreadSource) Next() (streams.Frame, error) {
	for {
		if b, off := s.scan(); len(b) > off {
			return streams.Frame{Kind: streams.Data, Buf: b, Off: off}, nil
		}
		if s.err != nil {
			return streams.Frame{}, s.err
		}
		b, n, err := s.fill(s.held[:s.holds])
		switch {
		case n > 0: // an error comes again
			s.b, s.off = b, streams.Headroom
		case err != nil && s.holds > 0:
			s.err, s.holds = err, 0
			return streams.Frame{Kind: streams.Data, Buf: b, Off: streams.Headroom}, nil
		case err != nil:
			return streams.Frame{}, err
		}
	}
}

// scan returns what passes next of what was read, behind room.
func (s *unreadSource) scan() (b []byte, off int) {
	for s.off < len(s.b) {
		off = s.off
		pass, drop := s.passage.Scan(s.b[off:])
		s.off += pass + drop
		b = s.b[:off+pass]
		if drop == 0 {
			s.holds = copy(s.held[:], s.b[s.off:])
			s.b = nil
		}
		if pass > 0 {
			return b, off
		}
	}
	return nil, 0
}

// between tells whether the last frame that Next gave ends between two of the peer's.
func (s *unreadSource) between() bool { return s.err == nil && s.passage.Between() }

// unreadSink writes what a unreadSource gives. It leaves the leg to keepalives only
// between two frames, and not after a Close.
type unreadSink struct {
	leg       *leg.Leg
	src       *unreadSource
	keepalive *unreadKeepalive // of the leg
}

// Write implements streams.Sink.
func (s unreadSink) Write(f streams.Frame) error {
	seen := s.src.passage.Seen()
	if seen.Close {
		s.keepalive.closed.Store(true)
	}
	if seen.Ping {
		s.keepalive.pinged.Store(true)
	}
	s.leg.Conn.SetWriteDeadline(time.Now().Add(stall))
	return s.leg.WritePart(f.Payload(), s.src.between(), seen.Close)
}

// Flush implements streams.Sink.
func (unreadSink) Flush() error { return nil }
