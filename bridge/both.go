package bridge

import (
	"errors"
	"net"
	"time"

	"edge/streams"
)

// bothWays relays a port-forward or an opaque upgrade, where the two directions
// are alike and no Status says how it ended. It returns when both have ended.
//
// The first source to end takes the session with it: its loop flushes, says
// goodbye to the other leg and half-closes it, and the other source has at most
// linger to end as well. So nothing that was said before the end is lost.
// closer is nil where the client's protocol has no Close.
func (s *session) bothWays(fromClient, toClient *direction, closer closer) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.contain()
		err := clientError(fromClient.run(always))
		if closer != nil && err == errClientGone {
			if code, ok := closer.Closed(); ok {
				err = &closedError{uint32(code)}
			}
		}
		s.ended(err)
		if breach := (*breachError)(nil); errors.As(err, &breach) {
			s.up.shut() // the other loop says goodbye
			s.awaitClose()
			return
		}
		s.lingerOn(s.up.conn, s.down.conn)
		s.up.conn.SetWriteDeadline(time.Now().Add(s.linger)) // what the client said last
		fromClient.finish(s.up)
	}()
	s.ended(upstreamError(toClient.run(always)))
	toClient.flush()
	if toClient.broken == nil && closer != nil {
		closer.WriteClose(s.closeCode())
	}
	toClient.finish(s.down)
	s.lingerOn(s.down.conn, s.up.conn)
	<-done
}

// A closer is a client's protocol that has a Close. Closed is called when nobody
// reads from the client any more.
type closer interface {
	Closed() (code int, ok bool)
	WriteClose(code int) error
}

// closeCode is that of the Close which ends the session.
func (s *session) closeCode() int {
	var closed *closedError
	var breach *breachError
	switch cause := s.cause(); {
	case errors.As(cause, &closed):
		return int(closed.code)
	case errors.As(cause, &breach):
		return int(breach.closeCode())
	}
	return streams.CloseGoingAway
}

// lingerOn bounds what is left of a session after one source ended: the other
// side's last words, and their way to the side that ended.
func (s *session) lingerOn(from, to net.Conn) {
	deadline := time.Now().Add(s.linger)
	from.SetReadDeadline(deadline)
	to.SetWriteDeadline(deadline)
}
