package upstream

import (
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/status"
)

// ErrRefused is the error of [Credential.Ready]: the API server refuses edge's own credential.
var ErrRefused = errors.New("the API server does not accept edge's own credential")

// ErrNoCredential is the error of a transport that has no credential to send, e.g. while edge
// cannot get a token. Its Status is the 401 that the API server would answer. It is for callers
// inside edge; clients never see it, see [Credential.Wrap].
var ErrNoCredential error = &apierrors.StatusError{
	ErrStatus: status.Failure(http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "edge has no credential of its own for the API server"),
}

// unansweredError means that an upgrade request got no answer.
type unansweredError struct{ err error }

func (e *unansweredError) Error() string { return e.err.Error() }

func (e *unansweredError) Unwrap() error { return e.err }
