package review

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	open   = &Kind{Room: "room", Name: "some review", Resource: "somereviews", Group: "some.k8s.io"}
	secret = &Kind{Room: "room", Name: "some review", Resource: "somereviews", Group: "some.k8s.io", Secret: true}
)

// TestFailed checks which code and message each failure of a review becomes. The client never reads
// the API server's text. For a Kind with Secret set, the error for the log does not contain that
// text either.
func TestFailed(t *testing.T) {
	for code, want := range map[int32]struct {
		code int32
		says string
	}{
		400: {500, "the API server rejected the review request"},
		401: {503, "does not accept edge's own credential"},
		403: {500, "edge itself lacks permission to create somereviews (group some.k8s.io)"},
		404: {500, "the API server rejected the review request"},
		422: {500, "the API server rejected the review request"},
		429: {503, "could not process the review; try again"},
		500: {503, "could not process the review; try again"},
		503: {503, "could not process the review; try again"},
		504: {503, "could not process the review; try again"},
	} {
		answered := &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: "Because", Message: "token-1"}}
		for _, k := range []*Kind{open, secret} {
			failed := k.Failed(fmt.Errorf("wrapped: %w", answered))
			status := failed.Status()
			if status.Code != want.code || !strings.HasPrefix(status.Message, "edge: the some review failed: ") || !strings.Contains(status.Message, want.says) {
				t.Errorf("%d became %+v", code, status)
			}
			if (status.Details != nil && status.Details.RetryAfterSeconds == 1) != (want.code == 503) {
				t.Errorf("%d: Retry-After: %+v", code, status.Details)
			}
			if strings.Contains(status.Message, "token-1") || strings.Contains(failed.Error(), "token-1") != !k.Secret || errors.Is(failed, answered) != !k.Secret {
				t.Errorf("%d: %v, %s", code, failed, status.Message)
			}
			if failed.Kind != k || !strings.HasPrefix(failed.Error(), "room: some review: ") {
				t.Errorf("%d: %v", code, failed)
			}
		}
	}
	lost := errors.New("10.0.0.1: connection refused")
	for _, k := range []*Kind{open, secret} {
		failed := k.Failed(lost)
		if status := failed.Status(); status.Code != 503 || strings.Contains(status.Message, "10.0.0.1") || !errors.Is(failed, lost) {
			t.Errorf("%v: %+v", failed, status)
		}
	}
}

// TestStatus checks the code, reason, message and Retry-After of each kind of Error.
func TestStatus(t *testing.T) {
	cause := errors.New("cause")
	for _, test := range []struct {
		err    *Error
		code   int32
		reason metav1.StatusReason
		says   string
		retry  bool
	}{
		{open.NotAsked(cause), http.StatusBadRequest, metav1.StatusReasonBadRequest, "cause", false},
		{open.Busy(cause), http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "too many reviews are in progress; try again", true},
		{open.Internal(cause, "x"), http.StatusInternalServerError, metav1.StatusReasonInternalError, "x", false},
		{open.Unavailable(cause, "x"), http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "x", true},
	} {
		status := test.err.Status()
		if status.Code != test.code || status.Reason != test.reason || status.Message != "edge: the some review failed: "+test.says ||
			(status.Details != nil) != test.retry || status.Status != metav1.StatusFailure || status.Kind != "Status" || status.APIVersion != "v1" {
			t.Errorf("%v: %+v", test.err, status)
		}
		if !errors.Is(test.err, cause) || test.err.Error() != "room: some review: cause" {
			t.Error(test.err)
		}
	}
}
