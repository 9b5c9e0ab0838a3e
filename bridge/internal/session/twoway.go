package session

import (
	"errors"
	"sync/atomic"
	"time"

	"edge/streams"
	"edge/streams/ws"
)

// twoWay relays a port-forward or an opaque upgrade, where the two directions
// are alike and no Status says how it ended.
type twoWay struct {
	*session
	kind                 twoWayKind
	fromClient, toClient direction

	clientClose closeReceiver // nil: SPDY
	upTunnel    *ws.Tunnel    // nil: SPDY

	inputDone chan struct{} // closed when the loop from the client has ended
}

// A twoWayKind is what only one kind of them does: alike, channels, fanout.
type twoWayKind interface {
	// fromClient and toClient see each frame before it is relayed.
	fromClient(*streams.Frame) (forward bool, err error)
	toClient(*streams.Frame) (forward bool, err error)
	// isGoingAway tells whether the client has said that it leaves, on which upstream may end first.
	isGoingAway() bool
	// answersLate tells whether the client's Close is answered only when upstream has what came before.
	answersLate() bool
	// awaitOpen waits, for a client that broke its protocol, until upstream can be cut.
	awaitOpen(most time.Duration)
	// settle waits, for a client that says no more, until upstream has what it said.
	settle(*twoWay)
	inputEnded()  // nothing more comes from the client
	outputEnded() // nothing more comes from upstream
	// stop ends all but the two legs. From then on nobody but the loop writes to the client.
	stop()
}

// symmetric is the kind of two protocols that need nothing from edge: SPDY on both sides, or bytes that it does not read.
type symmetric struct{ goneAway atomic.Bool }

func (k *symmetric) fromClient(f *streams.Frame) (forward bool, err error) {
	if f.Kind == streams.Close { // SPDY's GOAWAY
		k.goneAway.Store(true)
	}
	return true, nil
}

func (k *symmetric) toClient(*streams.Frame) (forward bool, err error) { return true, nil }
func (k *symmetric) isGoingAway() bool                                 { return k.goneAway.Load() }
func (k *symmetric) answersLate() bool                                 { return false }
func (k *symmetric) awaitOpen(time.Duration)                           {}
func (k *symmetric) settle(*twoWay)                                    {}
func (k *symmetric) inputEnded()                                       {}
func (k *symmetric) outputEnded()                                      {}
func (k *symmetric) stop()                                             {}

// A closeReceiver is a WebSocket client's source. Closed is called when nobody reads from it any more, and tells of the client's Close.
type closeReceiver interface {
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
		defer t.recoverPanic()
		defer t.kind.inputEnded()
		t.runFromClient()
	}()
	t.runToClient()
	<-t.inputDone
}

func (t *twoWay) runFromClient() {
	err := clientError(t.fromClient.run(t.kind.fromClient))
	waits := errors.Is(err, errClientGoaway)
	if waits {
		err = &closedError{streams.CloseNormal}
	}
	answersLate := false
	if t.clientClose != nil && errors.Is(err, errClientGone) {
		switch code, ok := t.clientClose.Closed(); {
		case !ok:
		case t.kind.answersLate():
			err, answersLate = &closedError{uint32(code)}, true
		default:
			t.answerClose(uint32(code))
			err = t.cause()
		}
	}
	t.setCause(err)
	if breach := (*breachError)(nil); errors.As(err, &breach) {
		t.kind.awaitOpen(t.Linger)
		t.up.Cut() // the other loop says goodbye
		t.awaitClientEnd()
		return
	}
	t.setLinger(t.up.Conn, t.down.Conn)
	t.up.Conn.SetWriteDeadline(time.Now().Add(t.Linger)) // what the client said last
	t.fromClient.flush()
	t.kind.settle(t)
	if answersLate {
		t.writeClose(uint32(t.closeCode()))
	}
	t.up.Conn.SetWriteDeadline(time.Now().Add(t.Linger)) // what edge says last
	if t.fromClient.writeErr == nil && t.upTunnel != nil {
		t.upTunnel.WriteClose(streams.CloseNormal) // finish releases it
	}
	t.fromClient.closeWrite(t.up)
	if waits {
		t.awaitClientEnd()
	}
}

func (t *twoWay) runToClient() {
	err := t.toClient.run(t.kind.toClient)
	t.kind.outputEnded()
	switch {
	case errors.Is(err, errCompleted):
	case t.kind.isGoingAway():
		err = &closedError{streams.CloseNormal}
	default:
		err = upstreamError(err)
	}
	t.setCause(err)
	t.down.Conn.SetWriteDeadline(time.Now().Add(stall)) // a client that reads nothing would keep it for ever
	t.kind.stop()
	t.toClient.flush()
	t.setLinger(t.down.Conn, t.up.Conn)
	if t.toClient.writeErr == nil && t.clientClose != nil {
		// The other loop may be answering just now.
		t.toClient.writeErr = t.down.WriteLast(ws.AppendClose(nil, t.closeCode(), ""))
		breach := (*breachError)(nil) // after one, nobody listens for the answer
		if t.toClient.writeErr == nil && !errors.As(t.cause(), &breach) {
			t.awaitCloseAnswer(t.inputDone, nil)
		}
	}
	t.toClient.closeWrite(t.down)
}
