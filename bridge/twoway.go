package bridge

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"edge/streams"
	"edge/streams/ws"
)

// twoWay relays a port-forward or an opaque upgrade, where the two directions
// are alike and no Status says how it ended.
type twoWay struct {
	*session
	fromClient, toClient direction

	downClosed closed     // nil: SPDY
	upTunnel   *ws.Tunnel // nil: SPDY
	// channels is not nil where the client's dialect numbers its connections.
	channels *channels
	// fanout is not nil where connections have upstream sessions of their own; up is
	// the sentinel then.
	fanout *fanout
	// leaving: the client sent SPDY's GOAWAY, on which upstream may end first.
	leaving atomic.Bool

	inputDone chan struct{} // closed when the loop from the client has ended
}

// A closed is a WebSocket client's source. Closed is called when nobody reads from it any more, and tells of the client's Close.
type closed interface {
	Closed() (code int, ok bool)
}

// run returns when both directions have ended.
//
// The first source to end takes the session with it: its loop flushes, says
// goodbye to the other leg and half-closes it, and the other source has at most
// linger to end as well. So nothing that was said before the end is lost.
func (t *twoWay) run() {
	t.inputDone = make(chan struct{})
	go func() {
		defer close(t.inputDone)
		defer t.contain()
		if t.fanout != nil {
			defer t.fanout.hasSettled()
		}
		t.runFromClient()
	}()
	t.runToClient()
	<-t.inputDone
}

func (t *twoWay) runFromClient() {
	see := t.seeLeaving
	switch {
	case t.channels != nil:
		see = t.channels.fromClient
	case t.fanout != nil:
		see = t.fanout.fromClient
	}
	err := clientError(t.fromClient.run(see))
	waits := err == errClientLeft
	if waits {
		err = &closedError{streams.CloseNormal}
	}
	answersLate := false
	if t.downClosed != nil && err == errClientGone {
		switch code, ok := t.downClosed.Closed(); {
		case !ok:
		case t.channels != nil && t.channels.spoke:
			err, answersLate = &closedError{uint32(code)}, true
		default:
			t.answerClose(uint32(code))
			err = t.cause()
		}
	}
	t.ended(err)
	if breach := (*breachError)(nil); errors.As(err, &breach) {
		if t.channels != nil {
			t.channels.awaitOpen(t.linger)
		}
		t.up.shut() // the other loop says goodbye
		t.awaitClose()
		return
	}
	t.lingerOn(t.up.conn, t.down.conn)
	if t.fanout != nil {
		t.fanout.settle()
	}
	t.up.conn.SetWriteDeadline(time.Now().Add(t.linger)) // what the client said last
	t.fromClient.flush()
	if t.channels != nil {
		t.channels.awaitOpen(t.linger)
		if t.fromClient.broken == nil {
			t.fromClient.broken = t.channels.ask()
		}
		t.fromClient.flush()
		if t.fromClient.broken == nil {
			t.channels.awaitHeard(t.linger)
		}
		if answersLate {
			t.sayClose(uint32(t.closeCode()))
		}
	}
	if t.fromClient.broken == nil && t.upTunnel != nil {
		t.upTunnel.WriteClose(streams.CloseNormal) // finish releases it
	}
	t.fromClient.finish(t.up)
	if waits {
		t.awaitClose()
	}
}

func (t *twoWay) seeLeaving(f *streams.Frame) (forward bool, err error) {
	if f.Kind == streams.Close {
		t.leaving.Store(true)
	}
	return true, nil
}

func (t *twoWay) runToClient() {
	see := always
	if t.channels != nil {
		see = t.channels.toClient
	}
	err := t.toClient.run(see)
	if t.channels != nil {
		t.channels.answer() // none will come
		t.channels.hear()
	}
	switch {
	case err == errCompleted:
	case t.leaving.Load():
		err = &closedError{streams.CloseNormal}
	default:
		err = upstreamError(err)
	}
	t.ended(err)
	t.down.conn.SetWriteDeadline(time.Now().Add(stall)) // a client that reads nothing would keep it for ever
	if t.fanout != nil {
		t.fanout.stop()
	}
	t.toClient.flush()
	t.lingerOn(t.down.conn, t.up.conn)
	if t.toClient.broken == nil && t.downClosed != nil {
		// The other loop may be answering just now.
		t.toClient.broken = t.down.lastWord(ws.AppendClose(nil, t.closeCode(), ""))
		breach := (*breachError)(nil) // after one, nobody listens for the answer
		if t.toClient.broken == nil && !errors.As(t.cause(), &breach) {
			t.awaitAnswer(t.inputDone, nil)
		}
	}
	t.toClient.finish(t.down)
}

// closeCode is that of the Close which ends the session.
func (s *session) closeCode() int {
	var closed *closedError
	var breach *breachError
	switch cause := s.cause(); {
	case cause == errCompleted:
		return streams.CloseNormal
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
