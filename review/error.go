package review

import (
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retryAfter is what a client is told to wait, in seconds, where asking again may help.
const retryAfter = 1

// A Kind is a kind of review. Kinds are told apart by their address.
type Kind struct {
	// Room is the package that asks, and Name what people call the review; an error's text begins with both.
	Room, Name string
	// Resource and Group are those that edge itself needs the right to create.
	Resource, Group string
	// Secret leaves out of errors what an answer says in words: the question has a credential, and whoever answered, perhaps a
	// proxy on the way, may quote it.
	Secret bool
}

// An Error is a review without an answer, which never means yes. Its Status is for the client. Err may name addresses and is
// for the log.
type Error struct {
	Kind *Kind
	Err  error

	code    int32
	reason  metav1.StatusReason
	message string
}

func (e *Error) Error() string { return e.Kind.Room + ": " + e.Kind.Name + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Status says that the review failed, and not that its answer is no.
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

// Failed sorts the error of a request for a review by who can do something about it.
func (k *Kind) Failed(err error) *Error {
	var answered apierrors.APIStatus
	if !errors.As(err, &answered) {
		return k.Unavailable(err, "the API server did not answer; try again")
	}
	said := answered.Status()
	if k.Secret {
		err = fmt.Errorf("answered with %d %.100q", said.Code, said.Reason)
	}
	switch code := said.Code; {
	case code == http.StatusUnauthorized:
		return k.Unavailable(err, "the API server does not accept edge's own credential; whoever runs edge has to look at it")
	case code == http.StatusForbidden:
		return k.Internal(err, fmt.Sprintf("edge itself may not create %s (group %s)", k.Resource, k.Group))
	case code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return k.Unavailable(err, "the API server could not do it; try again")
	}
	return k.Internal(err, "the API server did not take it")
}

// Busy is a 429: there is no room for one more.
func (k *Kind) Busy(err error) *Error {
	return &Error{k, err, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "too many are under way; try again"}
}

// NotAsked is a 400 that tells the client err itself: what the review would be about cannot be said in one.
func (k *Kind) NotAsked(err error) *Error {
	return &Error{k, err, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error()}
}

// Unavailable is a 503: asking again may help.
func (k *Kind) Unavailable(err error, message string) *Error {
	return &Error{k, err, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, message}
}

// Internal is a 500: asking again does not help.
func (k *Kind) Internal(err error, message string) *Error {
	return &Error{k, err, http.StatusInternalServerError, metav1.StatusReasonInternalError, message}
}
