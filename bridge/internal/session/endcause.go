package session

import (
	"errors"
	"io"

	"edge/streams"
)

// Cause says why a stream ended. It is one of the short list below, so that logs can be searched for it and a metric may have
// it as a label; these words stay.
type Cause string

const (
	CauseCompleted       Cause = "completed"         // the outcome is known: a Status, or each connection has ended
	CauseClientClosed    Cause = "client_closed"     // the client said so: a WebSocket Close, an SPDY GOAWAY
	CauseClientGone      Cause = "client_gone"       // its connection ended without a word, or takes no bytes
	CauseClientBreach    Cause = "client_breach"     // it broke its protocol
	CauseClientNotOpened Cause = "client_not_opened" // it did not open the streams that it asked for, in time
	CauseUpstreamLost    Cause = "upstream_lost"     // the connection to the API server broke, or spoke another protocol
	CauseUpstreamSilent  Cause = "upstream_silent"   // the API server answers no keepalives
	CauseNoStatus        Cause = "no_status"         // upstream ended without telling the outcome
	CauseBadStatus       Cause = "bad_status"        // what it told of the outcome is no Status
	CauseShutdown        Cause = "shutdown"          // edge ends
	CauseInternal        Cause = "internal"          // a fault of edge's
)

// An endError is a reason to end a session.
type endError struct {
	cause Cause
	text  string
}

func (e *endError) Error() string { return e.text }
func (e *endError) Cause() Cause  { return e.cause }

var (
	errCompleted  error = &endError{CauseCompleted, "completed"}
	errClientGone error = &endError{CauseClientGone, "client gone"}
	// errClientGoaway is a client's GOAWAY. It says nothing after it that counts, and may wait for the end.
	errClientGoaway error = &endError{CauseClientClosed, "client said goodbye"}
	errNotOpened    error = &endError{CauseClientNotOpened, "client did not open its streams in time"}
	errNoStatus     error = &endError{CauseNoStatus, "upstream ended the session without a status"}
	errBadStatus    error = &endError{CauseBadStatus, "upstream ended the session with a status that is not one"}
	errSilent       error = &endError{CauseUpstreamSilent, "upstream does not answer any more"}
	errShutdown     error = &stopError{CauseShutdown, "edge is shutting down"}
)

// A stopError is a reason of edge's to end a session, of which the client is told.
type stopError struct {
	cause Cause
	text  string
}

func (e *stopError) Error() string { return e.text }
func (e *stopError) Cause() Cause  { return e.cause }

// isStop tells whether a session ends because edge will have it so.
func isStop(err error) bool { return errors.As(err, new(*stopError)) }

// closedError is a client's Close, which is answered with its code (0: none).
type closedError struct{ code uint32 }

func (e *closedError) Error() string { return "client closed the session" }
func (e *closedError) Cause() Cause  { return CauseClientClosed }

// breachError is a client's breach of its protocol.
type breachError struct{ err error }

func (e *breachError) Error() string { return "client: " + e.err.Error() }
func (e *breachError) Unwrap() error { return e.err }
func (e *breachError) Cause() Cause  { return CauseClientBreach }

func (e *breachError) closeCode() uint32 {
	var protocol *streams.ProtocolError
	if errors.As(e.err, &protocol) {
		return uint32(protocol.Code)
	}
	return streams.ClosePolicy
}

// brokenError is upstream's connection that broke, or upstream's breach of its
// protocol. The log has the details, which name addresses.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "upstream connection: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }
func (e *brokenError) Cause() Cause  { return CauseUpstreamLost }

// causeOf is the outermost Cause in an error.
func causeOf(err error) Cause {
	var known interface{ Cause() Cause }
	if errors.As(err, &known) {
		return known.Cause()
	}
	return CauseInternal
}

// isLost tells whether a cause is upstream's end without a word about the outcome.
func isLost(err error) bool {
	switch causeOf(err) {
	case CauseNoStatus, CauseBadStatus, CauseUpstreamSilent, CauseUpstreamLost:
		return true
	}
	return false
}

// upstreamError says in words of ours why upstream's side ended.
func upstreamError(err error) error {
	if err == io.EOF {
		return errNoStatus
	}
	return &brokenError{err}
}

// clientError says why the client's side ended.
func clientError(err error) error {
	var protocol *streams.ProtocolError
	if errors.As(err, &protocol) || errors.Is(err, streams.ErrReplies) {
		return &breachError{err}
	}
	if known := interface{ Cause() Cause }(nil); errors.As(err, &known) { // a GOAWAY, or a panic
		return err
	}
	return errClientGone
}
