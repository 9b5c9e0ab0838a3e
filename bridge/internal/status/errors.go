package status

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// An Error is an answer of edge's own.
type Error struct {
	*apierrors.StatusError
	reason  Reason
	AuditID string // of the answer of the API server's that it replaces; "": of none
}

func (e *Error) refusal() Reason { return e.reason }

// IsAnswer tells an error that is an answer already.
func IsAnswer(err error) bool { return errors.As(err, new(*Error)) }

// A reasonedError is an error of another room's with the Reason that its answer has.
type reasonedError struct {
	err    error
	reason Reason
}

func (e *reasonedError) Error() string   { return e.err.Error() }
func (e *reasonedError) Unwrap() error   { return e.err }
func (e *reasonedError) refusal() Reason { return e.reason }

// Because gives an error a Reason; no error stays none.
func Because(reason Reason, err error) error {
	if err == nil {
		return nil
	}
	return &reasonedError{err, reason}
}
