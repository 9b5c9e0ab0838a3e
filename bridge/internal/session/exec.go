package session

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"edge/bridge/internal/status"
	"edge/streams"
)

// execSession is an exec or attach: five streams, one Status, and an end that
// the client must never mistake for success.
type execSession struct {
	*session
	set    streams.Set
	input  direction // client to process
	output direction // process to client

	client   execClient
	upstream execUpstream
	// goingAway: an SPDY client has sent its GOAWAY, so the connection's end is one that
	// it wants; of the input loop.
	goingAway bool

	inputDone     chan struct{} // closed when the input loop has ended
	outputDone    chan struct{} // closed when the output loop reads no more
	closeReceived chan struct{} // closed by the input loop when a WebSocket client's Close has come
	readDeadline  atomic.Int64  // until when, after the goodbye, a client may take to read it: Unix ns
}

// execClient is what the client's dialect is like.
type execClient struct {
	// allOpened is closed when the client has opened every stream of the set; nil
	// where the dialect opens none (WebSocket).
	allOpened <-chan struct{}
	// opened is called for every stream that the client opened, on the input loop.
	opened func()
	// plainStatus: plain text is on the error stream (SPDY before v4), where nothing
	// means success.
	plainStatus bool
	// reword: only API servers and edge speak it, and upstream is a container
	// runtime's, which an API server would have reworded.
	reword bool
	// closeCodes: it is WebSocket's. Its Close ends the session, and a breach can be
	// said by a close code.
	closeCodes bool
}

// execUpstream is what upstream's is like.
type execUpstream struct {
	// accepted is closed by the output loop when upstream has answered the opens of
	// its streams; nil where the dialect opens none (WebSocket).
	accepted <-chan struct{}
	// closesLast: nothing comes from upstream after its Close.
	closesLast bool
}

// run relays until the outcome is known or a leg ends. It returns true if the
// session goes on in other goroutines, the last of which calls over.
func (e *execSession) run(over func()) (left bool) {
	e.inputDone, e.outputDone, e.closeReceived = make(chan struct{}), make(chan struct{}), make(chan struct{})
	input := e.inputLoop(func() { close(e.inputDone) })
	go e.runThen(input.run, input.atEnd)
	if e.client.allOpened != nil && !e.awaitStreams() {
		e.readAccepts()
		e.finishOutput(nil)
		return false
	}
	return e.outputLoop(over).run()
}

// finishOutput ends the session, of which this is the last goroutine then.
func (e *execSession) finishOutput(status []byte) {
	close(e.outputDone)
	e.writeOutcome(status)
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
			e.client.opened()
			return false, nil
		case streams.Close:
			if closed || !e.client.closeCodes {
				e.goingAway = true
				return false, nil
			}
			closed = true
			close(e.closeReceived)
			e.answerClose(f.Code)
			return false, nil
		}
		return true, nil
	}
	relay := func() error {
		err := e.input.run(see)
		for e.isStillReading(err) {
			e.down.Conn.SetReadDeadline(time.Now().Add(e.Linger))
			err = e.input.run(see)
		}
		return err
	}
	end := func(err error) { e.endInput(err, closed) }
	return &loop{direction: &e.input, session: e.session, relay: relay, end: end, atEnd: over}
}

func (e *execSession) endInput(err error, closed bool) {
	var protocol *streams.ProtocolError
	switch {
	case closed && e.isClosed():
		e.endUpstream()
		e.awaitClientEnd()
	case e.cause() != nil: // the goodbye is said, or about to be
	case errors.As(err, &protocol), errors.Is(err, streams.ErrReplies):
		e.setCause(&breachError{err})
		e.awaitAccepted()
		e.up.Cut() // the output loop says goodbye
		e.awaitClientEnd()
	case isPanic(err):
		e.setCause(err)
		e.up.Cut()
		e.awaitClientEnd()
	case e.hasHalfClosed(err):
		e.continueAfterHalfClose()
	default:
		e.clientGone()
	}
}

// isStillReading tells whether the wait for the client's end was over before the client
// had taken what it was told. Once the connection is closed, anything that the
// client says, a ping, is answered by a reset, which drops the rest.
func (e *execSession) isStillReading(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() && e.down.Unsent() > 0 && time.Now().UnixNano() < e.readDeadline.Load()
}

// clientGone ends a session whose client is gone.
func (e *execSession) clientGone() {
	e.setCause(errClientGone)
	e.down.Cut()
	e.endUpstream()
}

// endUpstream ends a session whose client has ended it. What the client said last
// still reaches the process: upstream gets an orderly end, and linger to end as well.
func (e *execSession) endUpstream() {
	e.awaitAccepted()
	deadline := time.Now().Add(e.Linger)
	e.up.Conn.SetReadDeadline(deadline)
	e.up.Conn.SetWriteDeadline(deadline)
	e.input.closeWrite(e.up)
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
			if e.upstream.closesLast && status != nil {
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
			e.output.write(*f)
			e.output.flush() // here, where a client that is slow to read costs upstream none of its time
		}
		if open == 0 {
			return false, errCompleted
		}
		// The outcome is known, and upstream closes at once now, or else we do.
		e.up.Conn.SetReadDeadline(time.Now().Add(e.Linger))
		return false, nil
	}
	end := func(err error) { e.finishOutput(e.endOutput(err, status, ended)) }
	relay := func() error { return e.output.run(see) }
	return &loop{direction: &e.output, session: e.session, relay: relay, end: end, atEnd: over}
}

// endOutput returns the Status, last of all; nil if there was none, or half of one.
func (e *execSession) endOutput(err error, status []byte, ended map[streams.Role]bool) []byte {
	for _, role := range []streams.Role{streams.Stdout, streams.Stderr} {
		if !ended[role] {
			e.output.write(streams.Frame{Kind: streams.HalfClose, Stream: streams.Stream{Role: role}})
		}
	}
	switch {
	case isOutcome(status):
		e.setCause(errCompleted)
		return status
	case len(status) > 0:
		e.setCause(errBadStatus)
	case errors.Is(err, errCompleted):
		e.setCause(errNoStatus) // an empty one: v4 never sends it
	default:
		e.setCause(upstreamError(err))
	}
	return nil
}

// writeOutcome tells the client the outcome, Status last, and ends the write
// side. From then on the input loop waits at most linger for the client to close.
// A client that is slow to read loses nothing, but it must read.
func (e *execSession) writeOutcome(status []byte) {
	e.up.Cut()
	cause := e.cause()
	var breach *breachError
	var closed *closedError
	switch {
	case errors.Is(cause, errClientGone):
		e.down.Cut()
		return
	case errors.As(cause, &closed): // which is answered already
		return
	case e.client.closeCodes && errors.As(cause, &breach):
		e.output.write(streams.Frame{Kind: streams.Close, Code: breach.closeCode()})
	default:
		limit := time.Now().Add(stall)
		e.down.Conn.SetWriteDeadline(limit)
		e.readDeadline.Store(limit.UnixNano())
		e.output.write(statusFrame(e.client.finalStatus(status, cause)))
		goodbye := streams.Frame{Kind: streams.Close}
		if e.client.closeCodes {
			goodbye.Code = streams.CloseNormal
		}
		e.output.write(goodbye)
	}
	e.output.flush()
	if e.client.closeCodes && e.output.writeErr == nil && breach == nil { // after a breach, nobody listens for the answer
		e.awaitCloseAnswer(e.closeReceived, e.inputDone)
	}
	e.output.closeWrite(e.down)
	e.down.Conn.SetReadDeadline(time.Now().Add(e.Linger))
}

// hasHalfClosed tells whether an SPDY client, whose end was read, has said that it
// ends its own direction, in TLS. A connection that just ends is that of a client
// which is gone, and so is one after a GOAWAY.
func (e *execSession) hasHalfClosed(err error) bool {
	return err == io.EOF && !e.client.closeCodes && !e.goingAway && e.hasAllStreams() && e.down.HasHalfClosed()
}

// continueAfterHalfClose goes on with an exec whose SPDY client has half-closed its connection: its
// stdin has ended, and the output still goes there. A client that is gone altogether
// looks the same, so edge asks before; later the session's keepalives do.
func (e *execSession) continueAfterHalfClose() {
	if !e.stillReads() {
		e.clientGone()
		return
	}
	if e.set.Stdin {
		e.input.write(streams.Frame{Kind: streams.HalfClose, Stream: streams.Stream{Role: streams.Stdin}})
	}
	e.input.flush()
	<-e.done
}

// ackPoll is how often isHearing looks for an acknowledgement.
const ackPoll = 5 * time.Millisecond

// stillReads tells whether a client that has half-closed its connection still reads.
// It sends two pings. TCP acknowledges the first one, or answers that nobody is
// there, and then the second one cannot be written.
func (e *execSession) stillReads() bool {
	for range 2 {
		if e.down.Probe() != nil {
			return false
		}
		for end := time.Now().Add(e.Answer); e.down.Unsent() > 0 && time.Now().Before(end); time.Sleep(ackPoll) {
			if e.cause() != nil {
				return true
			}
		}
	}
	return true
}

// awaitStreams waits until the SPDY client has opened its streams. client-go
// does not hear a thing before they are all accepted, so a shutdown waits too.
func (e *execSession) awaitStreams() bool {
	late := time.NewTimer(e.Times.Open)
	defer late.Stop()
	over := (<-chan struct{})(e.done)
	for {
		select {
		case <-e.client.allOpened:
			return true
		case <-over:
			if !isStop(e.cause()) {
				return e.hasAllStreams()
			}
			over = nil
			late.Reset(e.Linger)
		case <-late.C:
			e.setCause(errNotOpened)
			return false
		}
	}
}

func (e *execSession) hasAllStreams() bool {
	select {
	case <-e.client.allOpened:
		return true
	default:
		return false
	}
}

// openTime is how long a session with a WebSocket upstream lasts at least. The API
// server opens the runtime's streams after its 101, and does not tell when; on a busy machine
// that took more than a second.
const openTime = 5 * time.Second

// awaitAccepted lets upstream answer the opens of its streams before the session's
// end reaches it. The container runtime sends those answers from a queue, and
// github.com/moby/spdystream waits for them without end, in the first write of what
// the container says, if the connection was closed before: an attach that was cut
// would stop the container's output for everybody.
func (e *execSession) awaitAccepted() {
	late := time.NewTimer(time.Until(e.acceptedBy()))
	defer late.Stop()
	select {
	case <-e.upstream.accepted:
	case <-e.outputDone:
	case <-late.C:
	}
}

// acceptedBy is until when to wait for it.
func (e *execSession) acceptedBy() time.Time {
	if e.upstream.accepted == nil {
		return e.Started.Add(min(openTime, e.Linger))
	}
	return time.Now().Add(e.Linger)
}

// readAccepts is awaitAccepted on the output loop, where the client has gone before
// there was anything to relay.
func (e *execSession) readAccepts() {
	e.up.Conn.SetReadDeadline(e.acceptedBy())
	for {
		select {
		case <-e.upstream.accepted:
			return
		default:
		}
		if _, err := e.output.src.Next(); err != nil {
			return
		}
	}
}

// finalStatus is what the client reads on its error stream, made of what upstream
// said there; nothing means that upstream never told.
func (c execClient) finalStatus(said []byte, cause error) []byte {
	switch {
	case len(said) == 0:
		said = status.Encode(unknownOutcome(cause))
	case c.reword:
		said = apiWords(said)
	}
	if c.plainStatus {
		return plainStatus(said)
	}
	return said
}
