package session

import (
	"errors"
	"fmt"

	"edge/streams"
)

// An endError is a reason why a session ended.
type endError struct {
	cause Cause
	text  string
}

func (e *endError) Error() string { return e.text }
func (e *endError) Cause() Cause  { return e.cause }

var (
	errCompleted  error = &endError{CauseCompleted, "completed"}
	errClientGone error = &endError{CauseClientGone, "client disconnected"}
	// errClientGoaway means that the client sent a GOAWAY. edge drops later frames of that client,
	// and then waits until the client closes the connection.
	errClientGoaway error = &endError{CauseClientClosed, "client sent GOAWAY"}
	errNotOpened    error = &endError{CauseClientNotOpened, "client did not open its streams in time"}
	errNoStatus     error = &endError{CauseNoStatus, "the API server ended the session without a Status"}
	errBadStatus    error = &endError{CauseBadStatus, "the API server ended the session with an invalid Status"}
	errSilent       error = &endError{CauseUpstreamSilent, "the API server does not answer keepalives any more"}
	errShutdown     error = &stopError{CauseShutdown, "edge is shutting down"}
)

// A stopError is a reason for which edge itself ends a session. The client receives the text of the
// error.
type stopError struct {
	cause Cause
	text  string
}

func (e *stopError) Error() string { return e.text }
func (e *stopError) Cause() Cause  { return e.cause }

// isStop reports whether err means that edge itself ends the session.
func isStop(err error) bool { return errors.As(err, new(*stopError)) }

// closedError means that the client sent a WebSocket Close with this code (0: without a code). edge
// answers with the same code.
type closedError struct{ code uint32 }

func (e *closedError) Error() string { return "client closed the session" }
func (e *closedError) Cause() Cause  { return CauseClientClosed }

// breachError means that the client violated its protocol.
type breachError struct{ err error }

func (e *breachError) Error() string { return "client violated its protocol: " + e.err.Error() }
func (e *breachError) Unwrap() error { return e.err }
func (e *breachError) Cause() Cause  { return CauseClientBreach }

func (e *breachError) closeCode() uint32 {
	if protocol, ok := errors.AsType[*streams.ProtocolError](e.err); ok {
		return uint32(protocol.Code)
	}
	return streams.ClosePolicy
}

// brokenError means that the upstream connection broke or that upstream violated its protocol. Its
// text is for the log only, because it may contain network addresses.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "upstream connection: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }
func (e *brokenError) Cause() Cause  { return CauseUpstreamLost }

// panicError is a bug in edge that ends one session but not the process, as net/http does for
// requests. A relay loop returns panicError, so that the client receives a Status.
// session.recoverPanic handles a panic outside the loops.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("internal error: %v", e.value) }

func (e *panicError) Cause() Cause { return CauseInternal }

// errUpstreamGoaway means that upstream sent a GOAWAY. No more data follows it.
var errUpstreamGoaway = errors.New("upstream sent GOAWAY")
