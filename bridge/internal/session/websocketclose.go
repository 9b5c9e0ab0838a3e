package session

import (
	"errors"
	"net"
	"time"

	"edge/streams"
	"edge/streams/ws"
)

// answerClose ends a session whose WebSocket client has sent a Close, and answers it
// at once, as the API server and the kubelet do: no output comes after it. If the
// session has ended already, the client's Close is the answer to edge's own.
func (s *session) answerClose(code uint32) {
	closed := &closedError{code}
	s.setCause(closed)
	if s.cause() == closed {
		s.writeClose(code)
	}
}

// writeClose writes edge's Close. Nothing comes after it, another Close neither.
func (s *session) writeClose(code uint32) {
	s.down.Conn.SetWriteDeadline(time.Now().Add(s.Linger)) // the client need not read any more
	s.down.WriteLast(ws.AppendClose(nil, int(code), ""))
	s.down.CloseWrite()
}

// isClosed tells whether the session ended by its client's Close.
func (s *session) isClosed() bool {
	var closed *closedError
	return errors.As(s.cause(), &closed)
}

// closeCode is that of the Close which ends the session.
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

// setLinger bounds what is left of a session after one source ended: the other
// side's last words, and their way to the side that ended.
func (s *session) setLinger(from, to net.Conn) {
	deadline := time.Now().Add(s.Linger)
	from.SetReadDeadline(deadline)
	to.SetWriteDeadline(deadline)
}

// awaitClientEnd reads a client that broke the protocol to its end: its bytes mean
// nothing any more, but unread they would make the close a reset, and our
// goodbye could be lost.
func (s *session) awaitClientEnd() {
	s.down.Conn.SetReadDeadline(time.Now().Add(s.Linger))
	s.discardInput()
	s.down.Cut()
}

// discardInput reads the client to its end.
func (s *session) discardInput() {
	buf := make([]byte, 512)
	for {
		if _, err := s.down.Read(buf); err != nil {
			return
		}
	}
}

// awaitCloseAnswer lets a WebSocket client, which has been sent a Close, answer it or
// go before edge half-closes. A load balancer that speaks HTTP/2 to a browser (RFC
// 8441) may make a reset of the half-close, and whoever can answer no more takes
// it for an abnormal end.
func (s *session) awaitCloseAnswer(answered, gone <-chan struct{}) {
	late := time.NewTimer(min(s.Answer, s.Linger))
	defer late.Stop()
	select {
	case <-answered:
	case <-gone:
	case <-late.C:
	}
}
