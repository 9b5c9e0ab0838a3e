package roundtrip

import (
	"errors"
	"fmt"
)

var (
	// ErrNothingDone says that the API server has certainly not processed the request, which could not be sent again.
	ErrNothingDone = errors.New("upstream: the API server did not take the request")
	// ErrUnreached says that there was no connection for the request.
	ErrUnreached = errors.New("upstream: no connection")
	// ErrLost says that the connection died, or broke, while the request waited for its answer: what it asks for may
	// have been done.
	ErrLost = errors.New("upstream: the connection was lost before the answer")
	// ErrSilent is an ErrLost whose connection gave no sign of life.
	ErrSilent = errors.New("upstream: the connection is silent")
	// ErrNotKept is what GetBody returns once a part of the body is lost: the request can not be sent again.
	ErrNotKept = errors.New("upstream: the request's body is not kept")
)

// Why no connection is made.
var (
	errClosed       = errors.New("upstream: the transport is closed")
	errFull         = fmt.Errorf("%w: too many connections", ErrNothingDone)
	errProxyRefused = errors.New("CONNECT is answered by")
)

// A BodyError is the client's: its body broke off, or broke its rules.
type BodyError struct{ err error }

func (e *BodyError) Error() string { return "upstream: the client's body: " + e.err.Error() }
func (e *BodyError) Unwrap() error { return e.err }
