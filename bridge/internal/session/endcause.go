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
	if errors.Is(err, io.EOF) {
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
