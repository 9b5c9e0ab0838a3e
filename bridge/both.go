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
		err := clientError(fromClient.run(always))
		s.ended(err)
		fromClient.flush()
		s.up.closeWrite()
		s.lingerOn(s.up.conn, s.down.conn)
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
	s.down.closeWrite()
	s.lingerOn(s.down.conn, s.up.conn)
	<-done
}

// lingerOn bounds what is left of a session after one source ended: the other
// side's last words, and their way to the side that ended.
func (s *session) lingerOn(from, to net.Conn) {
	deadline := time.Now().Add(linger)
	from.SetReadDeadline(deadline)
	to.SetWriteDeadline(deadline)
}

// rawSource and rawSink carry bytes of a protocol that edge does not read.
type rawSource struct{ r *streams.Reader }

func (s rawSource) Next() (streams.Frame, error) {
	s.r.Release()
	if _, err := s.r.Need(1); err != nil {
		return streams.Frame{}, err
	}
	n := s.r.Buffered()
	s.r.Skip(n)
	buf, off := s.r.Room(n)
	return streams.Frame{Kind: streams.Data, Buf: buf, Off: off}, nil
}

type rawSink struct{ w streams.Writer }

func (s rawSink) Write(f streams.Frame) error {
	if f.Kind != streams.Data {
		return nil
	}
	return s.w.WriteRoom(f.Buf, f.Off)
}

func (rawSink) Flush() error { return nil }
