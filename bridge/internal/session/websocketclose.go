package session

import (
	"errors"
	"net"
	"time"

	"edge/streams"
	"edge/streams/ws"
)

// answerClose ends a session after the WebSocket client has sent a Close, and answers the Close at
// once, as the API server and the kubelet do. No output follows. If the session has ended already,
// the client's Close is the answer to edge's own Close, and answerClose writes nothing.
func (s *session) answerClose(code uint32) {
	closed := &closedError{code}
	s.setCause(closed)
	if s.cause() == closed { //nolint:errorlint // asks whether this very Close was the first cause
		s.writeClose(code)
	}
}

// writeClose writes edge's Close to the client and half-closes the client's connection. Nothing is
// written to the client after it, not even another Close.
func (s *session) writeClose(code uint32) {
	// Set a deadline for the write, because the client may not read any more.
	s.down.Conn.SetWriteDeadline(time.Now().Add(s.Linger))
	_ = s.down.WriteLast(ws.AppendClose(nil, int(code), ""))
	s.down.CloseWrite()
}

// isClosed reports whether the session ended because the client sent a WebSocket Close.
func (s *session) isClosed() bool {
	var closed *closedError
	return errors.As(s.cause(), &closed)
}

// closeCode returns the code of the WebSocket Close by which edge ends the session.
func (s *session) closeCode() int {
	var closed *closedError
	var breach *breachError
	switch cause := s.cause(); {
	case errors.Is(cause, errCompleted):
		return streams.CloseNormal
	case errors.As(cause, &closed):
		return int(closed.code)
	case errors.As(cause, &breach):
		return int(breach.closeCode())
	}
	return streams.CloseGoingAway
}

// setLinger sets deadlines after one side of a session has ended: for reading the last data of the
// other side (the parameter from), and for writing that data to the side that has ended (the
// parameter to).
func (s *session) setLinger(from, to net.Conn) {
	deadline := time.Now().Add(s.Linger)
	from.SetReadDeadline(deadline)
	to.SetWriteDeadline(deadline)
}

// awaitClientEnd reads and drops the input of a client that must send nothing more, until the
// client closes. If edge left these bytes unread, closing the connection would send a TCP reset,
// and the client could lose edge's Close or Status.
func (s *session) awaitClientEnd() {
	s.down.Conn.SetReadDeadline(time.Now().Add(s.Linger))
	s.discardInput()
	s.down.Cut()
}

// discardInput reads and drops the client's input until its end.
func (s *session) discardInput() {
	buf := make([]byte, 512)
	for {
		if _, err := s.down.Read(buf); err != nil {
			return
		}
	}
}

// finalPing is the payload of the ping that edge sends a WebSocket client before its Close.
const finalPing = "last"

// pingLast sends a ping after everything that d has written to a WebSocket client, and before
// edge's Close. The channel that it returns is closed when the client has answered the ping, which
// proves that the client has read everything before it.
func (s *session) pingLast(d *direction) <-chan struct{} {
	ponged := s.down.ExpectPong(finalPing)
	if d.writeErr == nil {
		d.writeErr = d.sink.Flush()
	}
	if d.writeErr == nil {
		d.writeErr = s.down.WriteRoom(ws.AppendPing(nil, []byte(finalPing)), 0)
	}
	return ponged
}

// awaitCloseAnswer waits until a WebSocket client has answered edge's Close (answered) or
// disconnected (gone), before edge half-closes. Two things can go wrong otherwise:
//   - A load balancer that speaks HTTP/2 to a browser (RFC 8441) may turn the half-close into a
//     reset. A client that cannot answer the Close any more then reports an abnormal end.
//   - A load balancer closes the client's connection, too. If the client is slow, and sends a ping
//     while the load balancer still has output for it, the client gets a reset and loses that output.
//
// A client that answers no Close gets the time Answer from the moment at which it has read
// everything (caughtUp, from pingLast).
func (s *session) awaitCloseAnswer(answered, gone, caughtUp <-chan struct{}) {
	late := time.NewTimer(s.CatchUp)
	defer late.Stop()
	for {
		select {
		case <-answered:
			return
		case <-gone:
			return
		case <-caughtUp:
			caughtUp = nil
			late.Reset(min(s.Answer, s.Linger))
		case <-late.C:
			return
		}
	}
}
