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
func (s *session) bothWays(fromClient, toClient *direction, goodbye func(code int)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.contain()
		err := clientError(fromClient.run(always))
		s.ended(err)
		s.lingerOn(s.up.conn, s.down.conn)
		s.up.conn.SetWriteDeadline(time.Now().Add(s.linger)) // what the client said last
		fromClient.finish(s.up)
		if breach := (*breachError)(nil); errors.As(err, &breach) {
			s.awaitClose()
		}
	}()
	s.ended(upstreamError(toClient.run(always)))
	toClient.flush()
	if toClient.broken == nil && goodbye != nil {
		code := uint32(streams.CloseGoingAway)
		if breach := (*breachError)(nil); errors.As(s.cause(), &breach) {
			code = breach.closeCode()
		}
		goodbye(int(code))
	}
	toClient.finish(s.down)
	s.lingerOn(s.down.conn, s.up.conn)
	<-done
}

// lingerOn bounds what is left of a session after one source ended: the other
// side's last words, and their way to the side that ended.
func (s *session) lingerOn(from, to net.Conn) {
	deadline := time.Now().Add(s.linger)
	from.SetReadDeadline(deadline)
	to.SetWriteDeadline(deadline)
}
