package session

import (
	"errors"
	"sync/atomic"
	"time"

	"edge/streams"
	"edge/streams/ws"
)

// twoWay relays a port-forward or an opaque upgrade (one that edge does not parse). The two
// directions work alike, and no Status reports how the stream ended.
type twoWay struct {
	*session
	kind                 twoWayKind
	fromClient, toClient direction

	clientClose closeReceiver // has the client's Close; nil: the client's side is SPDY or not parsed
	upTunnel    *ws.Tunnel    // nil: upstream's side is SPDY, or not parsed

	inputDone chan struct{} // closed when the loop from the client has ended
}

// twoWayKind contains what differs between the three kinds of a twoWay: symmetric, channels and
// fanout.
type twoWayKind interface {
	// fromClient is called with each frame of the client before it is relayed, toClient with each
	// frame of upstream.
	fromClient(f *streams.Frame) (forward bool, err error)
	toClient(f *streams.Frame) (forward bool, err error)
	// isGoingAway reports whether the client has announced its end by a GOAWAY. If upstream then
	// ends before the client does, this is not an error.
	isGoingAway() bool
	// answersLate reports whether edge answers the client's Close only after upstream has read all
	// data that the client sent before it.
	answersLate() bool
	// awaitOpen waits until upstream has accepted the streams that edge opened there, for at most
	// the duration most.
	awaitOpen(most time.Duration)
	// settle waits, after the client's last frame, until upstream has received the client's data.
	settle(t *twoWay)
	inputEnded()  // called when no more frames come from the client
	outputEnded() // called when no more frames come from upstream
	// stop ends everything except the session's two connections. Afterwards, only the loop to the
	// client writes to the client.
	stop()
}

// symmetric is the twoWayKind for two sides with the same protocol: SPDY on both, or bytes that
// edge does not parse. It changes no frames.
type symmetric struct{ goneAway atomic.Bool }

func (k *symmetric) fromClient(f *streams.Frame) (forward bool, err error) {
	if f.Kind == streams.Close { // the frame is an SPDY GOAWAY, by which the client announces its end
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

// A closeReceiver is the source of a WebSocket client's frames. Closed returns the code of the
// client's Close, if it sent one. Closed is called when no goroutine reads from the source any
// more.
type closeReceiver interface {
	Closed() (code int, ok bool)
}

// run relays, and returns when both directions have ended.
//
// The side that ends first, the client or upstream, also ends the session. The loop that reads from
// this side flushes, sends the final frame to the other side and half-closes the other side's
// connection. The other side then has up to Linger to end too. So no data is lost that was sent
// before the end.
func (t *twoWay) run() {
	t.inputDone = make(chan struct{})
	t.setAwaitOpen(func() { t.kind.awaitOpen(t.Linger) })
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
		t.up.Cut() // the loop that reads from upstream then sends the client the final frame
		t.awaitClientEnd()
		return
	}
	t.setLinger(t.up.Conn, t.down.Conn)
	// Limit the time for writing the client's last data.
	t.up.Conn.SetWriteDeadline(time.Now().Add(t.Linger))
	t.fromClient.flush()
	t.kind.settle(t)
	if answersLate {
		t.writeClose(uint32(t.closeCode()))
	}
	// Limit the time for writing edge's final frame.
	t.up.Conn.SetWriteDeadline(time.Now().Add(t.Linger))
	if t.fromClient.writeErr == nil && t.upTunnel != nil {
		_ = t.upTunnel.WriteClose(streams.CloseNormal) // ignore an error: the session ends anyway
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
	// Without a deadline, a client that does not read would keep the session forever.
	t.down.Conn.SetWriteDeadline(time.Now().Add(stall))
	t.kind.stop()
	t.toClient.flush()
	t.setLinger(t.down.Conn, t.up.Conn)
	if t.toClient.writeErr == nil && t.clientClose != nil {
		caughtUp := t.pingLast(&t.toClient)
		// Use WriteLast, which drops a second Close: the loop that reads from the client may be
		// answering the client's Close at the same time.
		t.toClient.writeErr = t.down.WriteLast(ws.AppendClose(nil, t.closeCode(), ""))
		breach := (*breachError)(nil) // after a protocol violation edge does not wait for the client's Close
		if t.toClient.writeErr == nil && !errors.As(t.cause(), &breach) {
			t.awaitCloseAnswer(t.inputDone, nil, caughtUp)
		}
	}
	t.toClient.closeWrite(t.down)
}
