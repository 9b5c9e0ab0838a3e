package main

import (
	"fmt"
	"os"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"edge/bridge"
)

// usageError is an error in flags, or in files that flags name. edge exits with code 2.
type usageError struct{ error }

// commandError reports that the command of edge connect ended without success. edge prints it only
// if the command did not start: otherwise the command has printed its own message.
type commandError struct {
	code   int
	signal os.Signal // the signal that ended the command; nil: none did
	err    error     // why the command did not start; nil: it started
}

func (e *commandError) Error() string {
	if e.err != nil {
		return e.err.Error()
	}
	return fmt.Sprintf("the command ended with exit code %d", e.code)
}

func (e *commandError) Unwrap() error { return e.err }

// refusal is an error with a Status for the client and another error for the log.
type refusal struct {
	*apierrors.StatusError
	cause error
}

func (r *refusal) Error() string { return r.cause.Error() }

// errNoEdgeToken means that edge has no valid token from --upstream-token-request. edge sends
// nothing upstream without one.
var errNoEdgeToken = fmt.Errorf("--upstream-token-request: %w", bridge.ErrNoCredential)
