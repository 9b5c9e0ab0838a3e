package bridge

import (
	"bytes"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"edge/streams"
	"edge/streams/spdy"
)

// execSession is an exec or attach: five streams, one Status, and an end that
// the client must never mistake for success.
type execSession struct {
	*session
	set    spdy.Set
	input  direction // client to process
	output direction // process to client

	// whole is closed when the client has opened every stream of the set; nil
	// where the dialect opens none (WebSocket).
	whole <-chan struct{}
	// opened is called for every stream that the client opened, on the input loop.
	opened func()
	// accepted is closed by the output loop when upstream has answered the opens of
	// its streams; nil where the dialect opens none (WebSocket).
	accepted <-chan struct{}
	// leaving: an SPDY client has sent its GOAWAY, so the connection's end is one that
	// it wants; of the input loop.
	leaving bool
	// plainStatus: the client's dialect has plain text on its error stream (SPDY
	// before v4), where nothing means success.
	plainStatus bool
	// apiWords: only API servers and edge speak the client's dialect, and upstream
	// is a container runtime's, which an API server would have reworded.
	apiWords bool
	// closeCodes: the client's dialect is WebSocket's. Its Close ends the session, and a
	// breach can be said by a close code.
	closeCodes bool
	// upClosesLast: nothing comes from upstream after its Close.
	upClosesLast bool

	inputDone  chan struct{} // closed when the input loop has ended
	outputDone chan struct{} // closed when the output loop reads no more
	answered   chan struct{} // closed by the input loop when a WebSocket client's Close has come
	patience   atomic.Int64  // until when, after the goodbye, a client may take to read it: Unix ns
}

// run relays until the outcome is known or a leg ends. It returns true if the
// session goes on in other goroutines, the last of which calls over.
func (e *execSession) run(over func()) (left bool) {
	e.inputDone, e.outputDone, e.answered = make(chan struct{}), make(chan struct{}), make(chan struct{})
	input := e.inputLoop(func() { close(e.inputDone) })
	go e.carry(input.run, input.over)
	if e.whole != nil && !e.awaitStreams() {
		e.readAccepts()
		e.finishOutput(nil)
		return false
	}
	return e.outputLoop(over).run()
}

// finishOutput ends the session, of which this is the last goroutine then.
func (e *execSession) finishOutput(status []byte) {
	close(e.outputDone)
	e.sayGoodbye(status)
	<-e.inputDone
	e.input.reader.Close() // not after a panic: a loop may still read
	e.output.reader.Close()
}

// inputLoop relays what the client sends. After the session's end it only waits
// for the client to close.
func (e *execSession) inputLoop(over func()) *loop {
	closed := false
	see := func(f *streams.Frame) (bool, error) {
		switch f.Kind {
		case streams.Open:
			e.opened()
			return false, nil
		case streams.Close:
			if closed || !e.closeCodes {
				e.leaving = true
				return false, nil
			}
			closed = true
			close(e.answered)
			e.answerClose(f.Code)
			return false, nil
		}
		return true, nil
	}
	relay := func() error {
		err := e.input.run(see)
		for e.isSlow(err) {
			e.down.conn.SetReadDeadline(time.Now().Add(e.linger))
			err = e.input.run(see)
		}
		return err
	}
	end := func(err error) { e.endInput(err, closed) }
	return &loop{direction: &e.input, session: e.session, relay: relay, end: end, over: over}
}

func (e *execSession) endInput(err error, closed bool) {
	var protocol *streams.ProtocolError
	switch {
	case closed && e.isClosed():
		e.endUpstream()
		e.awaitClose()
	case e.cause() != nil: // the goodbye is said, or about to be
	case errors.As(err, &protocol), errors.Is(err, streams.ErrReplies):
		e.ended(&breachError{err})
		e.awaitAccepted()
		e.up.shut() // the output loop says goodbye
		e.awaitClose()
	case isPanic(err):
		e.ended(err)
		e.up.shut()
		e.awaitClose()
	case e.hasHalfClosed(err):
		e.hearOn()
	default:
		e.leave()
	}
}

// isSlow tells whether the wait for the client's end was over before the client
// had taken what it was told. Once the connection is closed, anything that the
// client says, a ping, is answered by a reset, which drops the rest.
func (e *execSession) isSlow(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() && e.down.unsent() > 0 && time.Now().UnixNano() < e.patience.Load()
}

// leave ends a session whose client is gone.
func (e *execSession) leave() {
	e.ended(errClientGone)
	e.down.shut()
	e.endUpstream()
}

// endUpstream ends a session whose client has ended it. What the client said last
// still reaches the process: upstream gets an orderly end, and linger to end as well.
func (e *execSession) endUpstream() {
	e.awaitAccepted()
	deadline := time.Now().Add(e.linger)
	e.up.conn.SetReadDeadline(deadline)
	e.up.conn.SetWriteDeadline(deadline)
	e.input.finish(e.up)
}

// outputLoop relays what the process says, and then its Status.
func (e *execSession) outputLoop(over func()) *loop {
	var status []byte
	open := 0
	for _, exists := range []bool{e.set.Stdout, e.set.Stderr} {
		if exists {
			open++
		}
	}
	ended := map[streams.Role]bool{}
	see := func(f *streams.Frame) (bool, error) {
		forward := false
		switch f.Kind {
		case streams.Data:
			forward = true
		case streams.Status:
			status = bytes.Clone(f.Payload())
		case streams.Close: // the last word on WebSocket; on SPDY there may be more, in no order
			if e.upClosesLast && status != nil {
				return false, errCompleted
			}
		case streams.HalfClose, streams.Reset:
			role := f.Stream.Role
			if (role == streams.Stdout || role == streams.Stderr) && !ended[role] {
				ended[role] = true
				open--
				f.Kind, forward = streams.HalfClose, true
			}
		}
		if status == nil {
			return forward, nil
		}
		if forward {
			e.output.say(*f)
			e.output.flush() // here, where a client that is slow to read costs upstream none of its time
		}
		if open == 0 {
			return false, errCompleted
		}
		// The outcome is known, and upstream closes at once now, or else we do.
		e.up.conn.SetReadDeadline(time.Now().Add(e.linger))
		return false, nil
	}
	end := func(err error) { e.finishOutput(e.endOutput(err, status, ended)) }
	relay := func() error { return e.output.run(see) }
	return &loop{direction: &e.output, session: e.session, relay: relay, end: end, over: over}
}

// endOutput returns the Status, last of all; nil if there was none, or half of one.
func (e *execSession) endOutput(err error, status []byte, ended map[streams.Role]bool) []byte {
	for _, role := range []streams.Role{streams.Stdout, streams.Stderr} {
		if !ended[role] {
			e.output.say(streams.Frame{Kind: streams.HalfClose, Stream: streams.Stream{Role: role}})
		}
	}
	switch {
	case isOutcome(status):
		e.ended(errCompleted)
		return status
	case len(status) > 0:
		e.ended(errBadStatus)
	case err == errCompleted:
		e.ended(errNoStatus) // an empty one: v4 never sends it
	default:
		e.ended(upstreamError(err))
	}
	return nil
}

// sayGoodbye tells the client the outcome, Status last, and ends the write
// side. From then on the input loop waits at most linger for the client to close.
// A client that is slow to read loses nothing, but it must read.
func (e *execSession) sayGoodbye(status []byte) {
	e.up.shut()
	cause := e.cause()
	var breach *breachError
	var closed *closedError
	switch {
	case cause == errClientGone:
		e.down.shut()
		return
	case errors.As(cause, &closed): // which is answered already
		return
	case e.closeCodes && errors.As(cause, &breach):
		e.output.say(streams.Frame{Kind: streams.Close, Code: breach.closeCode()})
	default:
		limit := time.Now().Add(stall)
		e.down.conn.SetWriteDeadline(limit)
		e.patience.Store(limit.UnixNano())
		e.output.say(statusFrame(e.lastWord(status)))
		goodbye := streams.Frame{Kind: streams.Close}
		if e.closeCodes {
			goodbye.Code = streams.CloseNormal
		}
		e.output.say(goodbye)
	}
	e.output.flush()
	if e.closeCodes && e.output.broken == nil && breach == nil { // after a breach, nobody listens for the answer
		e.awaitAnswer(e.answered, e.inputDone)
	}
	e.output.finish(e.down)
	e.down.conn.SetReadDeadline(time.Now().Add(e.linger))
}
