package impersonate

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A ReviewError is a review without an answer, which never means yes. Its Status is for the client: 503 if asking again may
// help, 429 if there was no room for it, 500 if not, 400 if it cannot be asked. Its cause may name addresses and is for the log.
type ReviewError struct {
	Err     error
	code    int32
	reason  metav1.StatusReason
	message string
}

// errBusy is the cause of a 429.
var errBusy = errors.New("too many access reviews are under way")

func (e *ReviewError) Error() string { return "impersonate: access review: " + e.Err.Error() }

func (e *ReviewError) Unwrap() error { return e.Err }

// Status says that the review failed, and not that the identity may not.
func (e *ReviewError) Status() metav1.Status {
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: e.code, Reason: e.reason,
		Message: "edge: the access review failed: " + e.message,
	}
	if e.code == http.StatusTooManyRequests || e.code == http.StatusServiceUnavailable {
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	}
	return status
}

// reviewFailed sorts what went wrong by whose it is to mend.
func reviewFailed(err error) *ReviewError {
	var answered apierrors.APIStatus
	if !errors.As(err, &answered) {
		return unavailable(err, "the API server did not answer; try again")
	}
	switch code := answered.Status().Code; {
	case code == http.StatusUnauthorized:
		return unavailable(err, "the API server does not accept edge's own credential; whoever runs edge has to look at it")
	case code == http.StatusForbidden:
		return internal(err, "edge itself may not create subjectaccessreviews (group authorization.k8s.io)")
	case code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return unavailable(err, "the API server could not do it; try again")
	}
	return internal(err, "the API server did not take it")
}

func notEvaluated(why string) *ReviewError {
	return internal(errors.New("evaluation error: "+why), "the API server could not evaluate it")
}

func notAsked(err error) *ReviewError {
	return &ReviewError{err, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error()}
}

const tooLong = "it took too long; try again"

func busy() *ReviewError {
	return &ReviewError{errBusy, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "too many are under way; try again"}
}

func unavailable(err error, message string) *ReviewError {
	return &ReviewError{err, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, message}
}

func internal(err error, message string) *ReviewError {
	return &ReviewError{err, http.StatusInternalServerError, metav1.StatusReasonInternalError, message}
}

// escaper is the API server's: a refusal must not look like HTML to a browser.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// maxShown bounds how much of a name stands in a refusal: more than a real one has.
const maxShown = 512

// shown is a name for a message: one line, and bounded.
func shown(s string) string {
	quoted := fmt.Sprintf("%.*q", maxShown, s)
	return quoted[1 : len(quoted)-1]
}

// refusal is one in the API server's words, so that a client reads the same from edge and from it.
func refusal(spec authorizationv1.SubjectAccessReviewSpec, reason string) *apierrors.StatusError {
	if path := spec.NonResourceAttributes; path != nil {
		message := escaper.Replace(fmt.Sprintf("User %.*q cannot %s path %.*q", maxShown, spec.User, path.Verb, maxShown, path.Path))
		return apierrors.NewForbidden(schema.GroupResource{}, "", because(message, reason))
	}
	attrs := spec.ResourceAttributes
	resource := attrs.Resource
	if attrs.Subresource != "" {
		resource += "/" + attrs.Subresource
	}
	where := "at the cluster scope"
	if attrs.Namespace != "" {
		where = fmt.Sprintf("in the namespace %.*q", maxShown, attrs.Namespace)
	}
	message := escaper.Replace(fmt.Sprintf("User %.*q cannot %s resource %.*q in API group %q %s",
		maxShown, spec.User, attrs.Verb, maxShown, resource, attrs.Group, where))
	name := attrs.Name
	if len(name) > maxShown {
		name = strings.ToValidUTF8(name[:maxShown], "")
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: attrs.Group, Resource: attrs.Resource}, name, because(message, reason))
}

func because(message, reason string) error {
	if reason != "" {
		message += ": " + reason
	}
	return errors.New(message)
}
