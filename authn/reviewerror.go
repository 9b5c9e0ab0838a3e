package authn

import (
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reviewRetryAfter is what a client is told to wait, in seconds, where asking again may help.
const reviewRetryAfter = 1

// A ReviewError is a token review without an answer, which never means yes. Its Status is for the client: 429 if too many
// wait, 503 if asking again may help, 500 if not. Its cause may name addresses and is for the log.
type ReviewError struct {
	Err     error
	code    int32
	reason  metav1.StatusReason
	message string
}

func (e *ReviewError) Error() string { return "authn: token review: " + e.Err.Error() }

func (e *ReviewError) Unwrap() error { return e.Err }

// Status says that the review failed, and not that the token is wrong.
func (e *ReviewError) Status() metav1.Status {
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: e.code, Reason: e.reason,
		Message: "edge: the token review failed: " + e.message,
	}
	if e.code != http.StatusInternalServerError {
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: reviewRetryAfter}
	}
	return status
}

var errReviewsBusy = &ReviewError{
	errors.New("too many are under way and waiting"), http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
	"too many are under way; try again",
}

// reviewFailed sorts what went wrong by whose it is to mend. What an answer says in words is left out: whoever gave it, perhaps a
// proxy on the way, may quote the question, which has the token.
func reviewFailed(err error) *ReviewError {
	var answered apierrors.APIStatus
	if !errors.As(err, &answered) {
		return reviewUnavailable(err, "the API server did not answer; try again")
	}
	said := answered.Status()
	err = fmt.Errorf("answered with %d %.100q", said.Code, said.Reason)
	switch code := said.Code; {
	case code == http.StatusUnauthorized:
		return reviewUnavailable(err, "the API server does not accept edge's own credential; whoever runs edge has to look at it")
	case code == http.StatusForbidden:
		return reviewBroken(err, "edge itself may not create tokenreviews (group authentication.k8s.io)")
	case code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return reviewUnavailable(err, "the API server could not do it; try again")
	}
	return reviewBroken(err, "the API server did not take it")
}

func reviewUnavailable(err error, message string) *ReviewError {
	return &ReviewError{err, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, message}
}

func reviewBroken(err error, message string) *ReviewError {
	return &ReviewError{err, http.StatusInternalServerError, metav1.StatusReasonInternalError, message}
}
