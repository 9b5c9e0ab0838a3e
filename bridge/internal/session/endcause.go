package session

import (
	"errors"
	"io"

	"edge/streams"
)

// Cause states why a stream ended. The constants in endcause.go are the only values and do not
// change, so logs can be searched for them and a metric may have them as a label.
type Cause string

const (
	// CauseCompleted: the outcome of the stream is known. Upstream sent a Status, or each
	// connection of a port-forward has ended.
	CauseCompleted Cause = "completed"
	// CauseClientClosed: the client sent a WebSocket Close or an SPDY GOAWAY.
	CauseClientClosed Cause = "client_closed"
	// CauseClientGone: the client disconnected without a Close or GOAWAY, or reads no bytes.
	CauseClientGone Cause = "client_gone"
	// CauseClientBreach: the client violated its protocol.
	CauseClientBreach Cause = "client_breach"
	// CauseClientNotOpened: the client did not open in time the streams that its request named.
	CauseClientNotOpened Cause = "client_not_opened"
	// CauseUpstreamLost: the connection to the API server broke, or upstream violated its protocol.
	CauseUpstreamLost Cause = "upstream_lost"
	// CauseUpstreamSilent: the API server does not answer keepalives.
	CauseUpstreamSilent Cause = "upstream_silent"
	// CauseNoStatus: upstream ended without a Status.
	CauseNoStatus Cause = "no_status"
	// CauseBadStatus: upstream sent an invalid Status.
	CauseBadStatus Cause = "bad_status"
	// CauseShutdown: edge is shutting down.
	CauseShutdown Cause = "shutdown"
	// CauseInternal: an error in edge.
	CauseInternal Cause = "internal"
)

// causeOf returns the outermost Cause in err. An error without a Cause is an internal one.
func causeOf(err error) Cause {
	var known interface{ Cause() Cause }
	if errors.As(err, &known) {
		return known.Cause()
	}
	return CauseInternal
}

// isLost reports whether err, the cause of a session's end, means that upstream ended and the
// outcome of the stream is not known.
func isLost(err error) bool {
	switch causeOf(err) {
	case CauseNoStatus, CauseBadStatus, CauseUpstreamSilent, CauseUpstreamLost:
		return true
	}
	return false
}

// upstreamError returns the cause of a session whose upstream side ended with err.
func upstreamError(err error) error {
	if errors.Is(err, io.EOF) {
		return errNoStatus
	}
	return &brokenError{err}
}

// clientError returns the cause of a session whose client side ended with err.
func clientError(err error) error {
	var protocol *streams.ProtocolError
	if errors.As(err, &protocol) || errors.Is(err, streams.ErrReplies) {
		return &breachError{err}
	}
	if known := interface{ Cause() Cause }(nil); errors.As(err, &known) { // err has a Cause: a GOAWAY or a panic
		return err
	}
	return errClientGone
}
