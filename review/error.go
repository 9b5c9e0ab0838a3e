package review

import (
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retryAfter is the Retry-After, in seconds, of the 429 and 503 answers, after which the client may
// try again.
const retryAfter = 1

// A Kind is one of the kinds of review that edge sends to the API server, such as the token review.
// Kinds are compared by their address.
type Kind struct {
	// Room is the name of the package that sends the review, and Name is the review's name in
	// messages. An error's text begins with both.
	Room, Name string
	// Resource and Group are the resource and the API group of the review. edge itself must have
	// permission to create this resource.
	Resource, Group string
	// Secret keeps the text of the API server's answer out of errors. It is set if the review
	// contains a credential: the API server, or a proxy in front of it, may quote the credential in
	// its answer.
	Secret bool
}

// An Error reports that the API server did not answer a review. The caller must never treat it as a
// yes. Its Status is for the client. Err may contain network addresses and is for the log only.
type Error struct {
	Kind *Kind
	Err  error

	code    int32
	reason  metav1.StatusReason
	message string
}

func (e *Error) Error() string { return e.Kind.Room + ": " + e.Kind.Name + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Status returns the answer for the client. It reports that the review failed; it does not claim
// that the user lacks a permission or that the token is invalid.
func (e *Error) Status() metav1.Status {
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: e.code, Reason: e.reason,
		Message: "edge: the " + e.Kind.Name + " failed: " + e.message,
	}
	if e.code == http.StatusTooManyRequests || e.code == http.StatusServiceUnavailable {
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfter}
	}
	return status
}

// Failed turns the error of a review request into an Error: 503 if the client may try again or the
// API server does not accept edge's credential, 500 if the review cannot succeed in this
// configuration.
func (k *Kind) Failed(err error) *Error {
	var answered apierrors.APIStatus
	if !errors.As(err, &answered) {
		return k.Unavailable(err, "the API server did not answer; try again")
	}
	said := answered.Status()
	if k.Secret {
		err = fmt.Errorf("the answer was status %d, reason %.100q", said.Code, said.Reason)
	}
	switch code := said.Code; {
	case code == http.StatusUnauthorized:
		return k.Unavailable(err, "the API server does not accept edge's own credential; the administrator of edge must fix this")
	case code == http.StatusForbidden:
		return k.Internal(err, fmt.Sprintf("edge itself lacks permission to create %s (group %s)", k.Resource, k.Group))
	case code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return k.Unavailable(err, "the API server could not process the review; try again")
	}
	return k.Internal(err, "the API server rejected the review request")
}

// Busy returns an Error with status 429: too many reviews are already in progress.
func (k *Kind) Busy(err error) *Error {
	return &Error{k, err, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "too many reviews are in progress; try again"}
}

// NotAsked returns an Error with status 400 and the text of err. edge sent no review, because a
// review cannot express the client's request (for example, a name that is not UTF-8).
func (k *Kind) NotAsked(err error) *Error {
	return &Error{k, err, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error()}
}

// Unavailable returns an Error with status 503: the client may try again.
func (k *Kind) Unavailable(err error, message string) *Error {
	return &Error{k, err, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, message}
}

// Internal returns an Error with status 500: trying again does not help.
func (k *Kind) Internal(err error, message string) *Error {
	return &Error{k, err, http.StatusInternalServerError, metav1.StatusReasonInternalError, message}
}
