package session

import (
	"errors"
	"io"
	"net"
	"time"

	"edge/bridge/internal/status"
	"edge/streams"
)

// finishOutput ends the session, of which this is the last goroutine then.
func (e *execSession) finishOutput(status []byte) {
	close(e.outputDone)
	e.writeOutcome(status)
	<-e.inputDone
	e.input.reader.Close() // not after a panic: a loop may still read
	e.output.reader.Close()
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
	return errors.Is(err, io.EOF) && !e.client.closeCodes && !e.goingAway && e.hasAllStreams() && e.down.HasHalfClosed()
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
