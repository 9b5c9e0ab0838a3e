package session

import (
	"errors"
	"io"
	"net"
	"time"

	"edge/bridge/internal/status"
	"edge/streams"
)

// finishOutput sends the outcome to the client and ends the session. It runs on the session's last
// goroutine.
func (e *execSession) finishOutput(status []byte) {
	close(e.outputDone)
	e.writeOutcome(status)
	<-e.inputDone
	e.input.reader.Close() // not called after a panic, because a loop may still read then
	e.output.reader.Close()
}

func (e *execSession) endInput(err error, closed bool) {
	var protocol *streams.ProtocolError
	switch {
	case closed && e.isClosed():
		e.endUpstream()
		e.awaitClientEnd()
	case e.cause() != nil: // the client receives the final Status, or has received it
	case errors.As(err, &protocol), errors.Is(err, streams.ErrReplies), isPanic(err):
		e.setCause(clientError(err))
		e.cutUpstream() // the output loop then sends the final Status or Close
		e.awaitClientEnd()
	case e.hasHalfClosed(err):
		e.continueAfterHalfClose()
	default:
		e.clientGone()
	}
}

// isStillReading reports whether err is a read timeout, and the client has not acknowledged all
// bytes of the final Status but has time left for them. edge then keeps the connection open. If
// edge closed it, the kernel would answer any byte of the client, such as a ping, with a reset, and
// the client would lose the rest of the Status.
func (e *execSession) isStillReading(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() && e.down.Unsent() > 0 && time.Now().UnixNano() < e.readDeadline.Load()
}

// clientGone ends a session after the client has disconnected.
func (e *execSession) clientGone() {
	e.setCause(errClientGone)
	e.down.Cut()
	e.endUpstream()
}

// endUpstream ends the upstream side after the client has ended the session. The client's last data
// still reaches the process: endUpstream half-closes upstream, and then waits up to Linger for
// upstream to end too.
func (e *execSession) endUpstream() {
	e.awaitAccepted()
	deadline := time.Now().Add(e.Linger)
	e.up.Conn.SetReadDeadline(deadline)
	e.up.Conn.SetWriteDeadline(deadline)
	e.input.closeWrite(e.up)
}

// endOutput ends the output streams, sets the session's cause and returns the final Status. It
// returns nil if upstream sent an incomplete Status or none.
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
		e.setCause(errNoStatus) // upstream sent an empty Status, which is invalid in v4
	default:
		e.setCause(upstreamError(err))
	}
	return nil
}

// writeOutcome sends the client the outcome, with the Status last, and half-closes the client's
// connection. Then the input loop waits up to Linger for the client to close. A slow client loses
// nothing as long as it reads.
func (e *execSession) writeOutcome(status []byte) {
	e.up.Cut()
	cause := e.cause()
	var breach *breachError
	var closed *closedError
	var caughtUp <-chan struct{}
	switch {
	case errors.Is(cause, errClientGone):
		e.down.Cut()
		return
	case errors.As(cause, &closed): // edge has already answered the client's Close
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
			caughtUp = e.pingLast(&e.output)
			goodbye.Code = streams.CloseNormal
		}
		e.output.write(goodbye)
	}
	e.output.flush()
	// After a protocol violation, the input loop does not wait for the client's Close.
	if e.client.closeCodes && e.output.writeErr == nil && breach == nil {
		e.awaitCloseAnswer(e.closeReceived, e.inputDone, caughtUp)
	}
	e.output.closeWrite(e.down)
	e.down.Conn.SetReadDeadline(time.Now().Add(e.Linger))
}

// hasHalfClosed reports whether an SPDY client has ended only its own direction, by a TLS
// close_notify. If the TCP connection ends, or after a GOAWAY, the client counts as disconnected.
// Call it after the client's end was read.
func (e *execSession) hasHalfClosed(err error) bool {
	return errors.Is(err, io.EOF) && !e.client.closeCodes && !e.goingAway && e.hasAllStreams() && e.down.HasHalfClosed()
}

// continueAfterHalfClose continues an exec after the SPDY client has half-closed its connection.
// stdin has ended, and the output continues. A disconnected client looks the same, so edge checks
// first whether the client still reads. Later the keepalives check this.
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

// ackPoll is how often stillReads checks for a TCP acknowledgement.
const ackPoll = 5 * time.Millisecond

// stillReads reports whether a client that has half-closed its connection still reads. It sends two
// pings. The client's TCP acknowledges the first ping or answers it with a reset; after a reset the
// second ping cannot be written.
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

// finalStatus returns what the client reads on its error stream. The parameter said is the Status
// that upstream sent; if it is empty, the result is a Failure that gives cause as the reason.
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
