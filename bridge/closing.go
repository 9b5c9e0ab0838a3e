package bridge

import (
	"errors"
	"time"

	"edge/streams"
	"edge/streams/ws"
)

// answerClose ends a session whose WebSocket client has sent a Close, and answers it
// at once, as the API server and the kubelet do: no output comes after it. If the
// session has ended already, the client's Close is the answer to edge's own.
func (s *session) answerClose(code uint32) {
	closed := &closedError{code}
	s.ended(closed)
	if s.cause() != closed {
		return
	}
	s.down.conn.SetWriteDeadline(time.Now().Add(s.linger)) // the client need not read any more
	s.down.lastWord(ws.AppendClose(nil, int(code), ""))
	s.down.closeWrite()
}

// isClosed tells whether the session ended by its client's Close.
func (s *session) isClosed() bool {
	var closed *closedError
	return errors.As(s.cause(), &closed)
}

// hearOn goes on with an exec whose SPDY client has half-closed its connection: its
// stdin has ended, and the output still goes there. A client that is gone altogether
// looks the same; the pings tell, of which the second cannot be written then. The
// later ones are the session's keepalives.
func (e *execSession) hearOn() {
	if e.set.Stdin {
		e.input.say(streams.Frame{Kind: streams.HalfClose, Stream: streams.Stream{Role: streams.Stdin}})
	}
	e.input.flush()
	for range 2 {
		e.down.keepalive()
		late := time.NewTimer(e.answer)
		select {
		case <-e.over:
			late.Stop()
			return
		case <-late.C:
		}
	}
	<-e.over
}
