package streams

// A Source yields what a peer sent, in wire order.
//
// Next blocks until a whole frame is in hand. It returns io.EOF when the peer
// ended its side between two frames, io.ErrUnexpectedEOF within one, a
// *ProtocolError when the peer broke the dialect's rules or bounds, and the
// connection's error otherwise. A source answers pings and the like itself,
// through its leg's Replier; they are never frames. Not safe for concurrent use.
type Source interface {
	Next() (Frame, error)
}

// A Sink says frames to a peer, each whole and in order.
//
// Write may hold small frames back until Flush. A frame that the dialect
// cannot say is dropped where the codec's package doc says so. A sink does not
// keep f.Buf, but may overwrite all of it, the payload too: a WebSocket client
// masks it in place. Not safe for concurrent use.
type Sink interface {
	Write(f Frame) error
	Flush() error
}

// A Writer is the write side of a leg, below the codec. WriteRoom writes
// b[off:] with nothing in between, and may overwrite b[:off] (at least the room
// that the layers above left), or all of b where it masks. Safe for concurrent use.
type Writer interface {
	WriteRoom(b []byte, off int) error
}

// A Replier takes what a source has to tell its own peer, already encoded for
// the wire. It copies b and never blocks: the leg's writer sends it between two
// frames. Pong has one slot, the latest wins (RFC 6455 section 5.5.3). Reply is
// for what must not be lost; it fails with ErrReplies when the peer provokes
// answers faster than it reads them.
type Replier interface {
	Pong(b []byte)
	Reply(b []byte) error
}
