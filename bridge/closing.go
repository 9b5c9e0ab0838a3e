package bridge

import (
	"errors"
	"io"
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
	if s.cause() == closed {
		s.sayClose(code)
	}
}

// sayClose writes edge's Close. Nothing comes after it, another Close neither.
func (s *session) sayClose(code uint32) {
	s.down.conn.SetWriteDeadline(time.Now().Add(s.linger)) // the client need not read any more
	s.down.lastWord(ws.AppendClose(nil, int(code), ""))
	s.down.closeWrite()
}

// isClosed tells whether the session ended by its client's Close.
func (s *session) isClosed() bool {
	var closed *closedError
	return errors.As(s.cause(), &closed)
}

// hasHalfClosed tells whether an SPDY client, whose end was read, has said that it
// ends its own direction, in TLS. A connection that just ends is that of a client
// which is gone, and so is one after a GOAWAY.
func (e *execSession) hasHalfClosed(err error) bool {
	return err == io.EOF && !e.closeCodes && !e.leaving && e.isWhole() && e.down.poll != nil && !e.down.poll.hasEnded()
}

// hearOn goes on with an exec whose SPDY client has half-closed its connection: its
// stdin has ended, and the output still goes there. A client that is gone altogether
// looks the same, so edge asks before; later the session's keepalives do.
func (e *execSession) hearOn() {
	if !e.isHearing() {
		e.leave()
		return
	}
	if e.set.Stdin {
		e.input.say(streams.Frame{Kind: streams.HalfClose, Stream: streams.Stream{Role: streams.Stdin}})
	}
	e.input.flush()
	<-e.over
}

// hearingPoll is how often isHearing looks for an acknowledgement.
const hearingPoll = 5 * time.Millisecond

// isHearing tells whether a client that has half-closed its connection still reads.
// It sends two pings. TCP acknowledges the first one, or answers that nobody is
// there, and then the second one cannot be written.
func (e *execSession) isHearing() bool {
	for range 2 {
		if e.down.probe() != nil {
			return false
		}
		for end := time.Now().Add(e.answer); e.down.unsent() > 0 && time.Now().Before(end); time.Sleep(hearingPoll) {
			if e.cause() != nil {
				return true
			}
		}
	}
	return true
}
