package main

import (
	"fmt"
	"os"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"edge/bridge"
)

// usageError is a configuration that cannot be used: exit 2.
type usageError struct{ error }

// commandError is the end of the command that edge connect ran, other than
// success. Only what never ran has a message: anything else the command has said.
type commandError struct {
	code   int
	signal os.Signal // that ended it; nil: none
	err    error     // why it did not start
}

func (e *commandError) Error() string {
	if e.err != nil {
		return e.err.Error()
	}
	return fmt.Sprintf("the command ended with exit code %d", e.code)
}

func (e *commandError) Unwrap() error { return e.err }

// A refusal has an answer for the client and a cause for the log.
type refusal struct {
	*apierrors.StatusError
	cause error
}

func (r *refusal) Error() string { return r.cause.Error() }

// errNoEdgeToken: with --upstream-token-request, no token can be had, and nothing goes upstream without one.
var errNoEdgeToken = fmt.Errorf("--upstream-token-request: %w", bridge.ErrNoCredential)
