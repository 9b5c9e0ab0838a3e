package session

import (
	"errors"
	"fmt"

	"edge/streams"
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

// panicError is a bug of ours that ends one session and not the process, as
// net/http has it for requests. A loop turns it into its error, so that the
// client is told; session.recoverPanic takes one that happens around the loops.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("internal error: %v", e.value) }

func (e *panicError) Cause() Cause { return CauseInternal }

// errUpstreamGoaway is upstream's GOAWAY. All that it had to say came before.
var errUpstreamGoaway = errors.New("upstream said goodbye")
