package streams

// A Source returns the frames that a peer sent, in wire order.
//
// Next blocks until a complete frame has arrived. Its errors are:
//   - io.EOF: the peer closed its side between two frames
//   - io.ErrUnexpectedEOF: the peer closed its side within a frame
//   - a *ProtocolError: the peer violated the rules or limits of the dialect
//   - otherwise the error of the connection
//
// A Source answers pings and similar control messages itself, through the Replier of its leg (its
// connection to the peer); Next never returns them. A Source is not safe for concurrent use.
type Source interface {
	Next() (Frame, error)
}

// A Sink writes frames to a peer, each frame complete and in order.
//
// Write may hold small frames back until Flush. A Sink drops a frame that its dialect cannot
// express, where the documentation of the codec's package states so. A Sink does not keep f.Buf,
// but may overwrite all of it, also the payload: a WebSocket client masks the payload in place. A
// Sink is not safe for concurrent use.
type Sink interface {
	Write(f Frame) error
	Flush() error
}

// A Writer writes bytes to a leg (the connection to one peer), below the codec. WriteRoom writes
// b[off:] in one piece. It may overwrite b[:off], which holds at least the free bytes that the
// layers above left for headers, and also b[off:] if it masks the bytes. A Writer is safe for
// concurrent use.
type Writer interface {
	WriteRoom(b []byte, off int) error
}

// A Replier sends answers, such as a pong, back to the peer from which a source (the decoder of a
// connection's bytes) has read a request. Pong and Reply copy the encoded answer b and never block:
// the goroutine that writes to this peer sends the copy between two frames. Pong keeps only the
// newest answer (RFC 6455 section 5.5.3). Reply is for answers that must not be lost. It returns
// ErrReplies if the peer causes answers faster than it reads them.
type Replier interface {
	Pong(b []byte)
	Reply(b []byte) error
}

// A PongReceiver is told of each pong that the peer sends. A source checks whether its Replier is
// also a PongReceiver; if so, the source calls Ponged with the payload of each WebSocket pong (RFC
// 6455 section 5.5.3). Ponged does not keep the payload.
type PongReceiver interface {
	Ponged(payload []byte)
}
