package status

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// An Error is an answer that edge itself writes: the Status for the client, and the Reason for the
// log.
type Error struct {
	*apierrors.StatusError
	reason Reason
	// AuditID is the Audit-ID of the API server's answer that this error replaces; "" if there is
	// none.
	AuditID string
}

func (e *Error) refusal() Reason { return e.reason }

// IsAnswer reports whether err is an Error, and so already is an answer of edge's own.
func IsAnswer(err error) bool { return errors.As(err, new(*Error)) }

// A reasonedError is an error of another package, together with the Reason of the answer that edge
// writes for this error.
type reasonedError struct {
	err    error
	reason Reason
}

func (e *reasonedError) Error() string   { return e.err.Error() }
func (e *reasonedError) Unwrap() error   { return e.err }
func (e *reasonedError) refusal() Reason { return e.reason }

// Because adds a Reason to err. It returns nil if err is nil.
func Because(reason Reason, err error) error {
	if err == nil {
		return nil
	}
	return &reasonedError{err, reason}
}
