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

// unreadWebSocket is the common state of the two connections of a WebSocket that edge does not
// parse. edge sends its own keepalives between the WebSocket's frames until one side sends a Close.
type unreadWebSocket struct {
	down, up unreadKeepalive
	closed   atomic.Bool // true: the client or upstream has sent a Close
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

// unreadKeepalive creates edge's keepalives on one connection of a WebSocket that edge does not
// parse.
type unreadKeepalive struct {
	own    [ws.OwnSize]byte // payload of edge's own pings, and of the pongs that answer them
	client bool             // true: the connection to upstream, where frames are masked
	closed *atomic.Bool
	// pinged is true if a ping of the other side has passed since edge's last keepalive. That ping
	// served as a keepalive, and edge sends none of its own: a peer may answer only the last of
	// several pings (RFC 6455 section 5.5.3).
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

// unreadSource reads the bytes of a WebSocket that edge does not parse. It drops the pongs that
// answer edge's own pings.
type unreadSource struct {
	rawSource
	passage ws.Passage
	b       []byte // bytes of a buffer that were read and not scanned yet
	off     int    // offset in b of the first byte that was not scanned
	held    [ws.MaxHeld]byte
	holds   int // number of bytes in the field held
	err     error
}

// Next implements streams.Source: it returns bytes of the WebSocket as a frame. At the end it
// returns the bytes that it still holds.
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
		case n > 0: // ignore an error: the next call of the function fill returns it again
			s.b, s.off = b, streams.Headroom
		case err != nil && s.holds > 0:
			s.err, s.holds = err, 0
			return streams.Frame{Kind: streams.Data, Buf: b, Off: streams.Headroom}, nil
		case err != nil:
			return streams.Frame{}, err
		}
	}
}

// scan returns the next bytes to pass on. In front of them it leaves headroom: free bytes for a
// frame header of the sink.
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

// between reports whether the last frame that Next returned ends between two WebSocket frames.
func (s *unreadSource) between() bool { return s.err == nil && s.passage.Between() }

// unreadSink writes the frames that an unreadSource has read. It allows keepalives on the
// connection only between two WebSocket frames, and none after a Close.
type unreadSink struct {
	leg       *leg.Leg
	src       *unreadSource
	keepalive *unreadKeepalive // keepalives on the connection leg
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

// Flush implements streams.Sink. It does nothing, because Write keeps nothing back.
func (unreadSink) Flush() error { return nil }

// relayPassed relays a WebSocket that edge does not parse. It finds the borders of the WebSocket's
// frames, so that edge can send keepalives between the frames.
func (p codecs) relayPassed(s *session) {
	fromClient, toClient := &unreadSource{rawSource: rawSource{r: s.down}}, &unreadSource{rawSource: rawSource{r: s.up}}
	fromClient.passage.Own, toClient.passage.Own = p.unread.down.own, p.unread.up.own
	forward := twoWay{session: s, kind: new(symmetric)}
	forward.fromClient.src, forward.fromClient.sink = fromClient, unreadSink{s.up, fromClient, &p.unread.up}
	forward.toClient.src, forward.toClient.sink = toClient, unreadSink{s.down, toClient, &p.unread.down}
	forward.run()
	fromClient.close()
	toClient.close()
}
