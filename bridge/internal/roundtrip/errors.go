package roundtrip

import (
	"errors"
	"fmt"
)

var (
	// ErrNothingDone means that the API server has certainly not processed the request, and that
	// the request could not be sent again.
	ErrNothingDone = errors.New("upstream: the API server did not process the request")
	// ErrUnreached means that edge could not get a connection to the API server for the request.
	ErrUnreached = errors.New("upstream: no connection to the API server")
	// ErrLost means that the connection broke while the request waited for its answer. The API
	// server may have processed the request.
	ErrLost = errors.New("upstream: the connection to the API server was lost before its answer")
	// ErrSilent is the kind of ErrLost in which the API server sent nothing and answered no PING.
	ErrSilent = errors.New("upstream: the API server did not answer PING on the connection")
	// ErrNotKept is the error of GetBody after a part of the body was dropped: the request cannot
	// be sent again.
	ErrNotKept = errors.New("upstream: cannot send the request again: its body is not stored")
)

// Reasons why edge opens no connection to the API server.
var (
	errClosed       = errors.New("upstream: the transport is closed")
	errFull         = fmt.Errorf("%w: too many connections", ErrNothingDone)
	errProxyRefused = errors.New("the proxy refused CONNECT with status")
)

// A BodyError means that reading the client's request body failed: the body ended early or was
// malformed.
type BodyError struct{ err error }

func (e *BodyError) Error() string { return "upstream: reading the client's body: " + e.err.Error() }
func (e *BodyError) Unwrap() error { return e.err }
