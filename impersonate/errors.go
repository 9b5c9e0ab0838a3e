package impersonate

import (
	"errors"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/review"
)

// Kinds of refusal: each is a 403.
var (
	// ErrNoName: there is no user name, and without one a request would be edge's own.
	ErrNoName = errors.New("impersonate: no user name")
	// ErrSystem: a name or group belongs to Kubernetes itself.
	ErrSystem = errors.New("impersonate: reserved identity")
	// ErrValue: a part of the identity would arrive changed, or not at all.
	ErrValue = errors.New("impersonate: identity cannot be sent")
	// ErrRecord: an extra has the key of edge's own record of who asked.
	ErrRecord = errors.New("impersonate: reserved extra key")
	// ErrDenied: the requestor may not impersonate whom it asks to.
	ErrDenied = errors.New("impersonate: impersonation denied")
)

// A ForbiddenError is a refusal with the words that the client gets to see. It wraps one of the kinds above.
type ForbiddenError struct {
	Kind    error
	Message string
}

func (e *ForbiddenError) Error() string { return e.Kind.Error() + ": " + e.Message }

func (e *ForbiddenError) Unwrap() error { return e.Kind }

// Status is the answer to the client.
func (e *ForbiddenError) Status() metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: e.Message,
	}
}

// accessReview is the kind of all errors of reviews here.
var accessReview = &review.Kind{
	Room: "impersonate", Name: "access review", Resource: "subjectaccessreviews", Group: "authorization.k8s.io",
}

// IsUnanswered tells whether an error is an access review without an answer, a [review.Error] of this room: 503 if
// asking again may help, 429 if there was no room for it, 500 if not, 400 if it cannot be asked.
func IsUnanswered(err error) bool {
	failed := (*review.Error)(nil)
	return errors.As(err, &failed) && failed.Kind == accessReview
}

var (
	// errBusy is the cause of a 429.
	errBusy = errors.New("too many access reviews are under way")
	// errUnasked is what others read if the one who asked for them panicked.
	errUnasked error = accessReview.Internal(errors.New("the review ended without an answer"), "edge did not complete it")
	// errNotText: the review would be about somebody or something else.
	errNotText = errors.New("a name in it is not valid UTF-8")
	// errNotPassthrough: a [PassthroughReviewer] has nobody's token to ask with.
	errNotPassthrough = errors.New("impersonate: only the sender of a token that is passed through can be asked about itself")
	// errNoAttributes: a [Request] came without them, and the API server's modes of impersonation need them.
	errNoAttributes = errors.New("impersonate: nobody says what the request is")
	// errRefused ends a [ConstrainedDetector]'s question: whom the API server does not know learns nothing of its modes.
	errRefused = errors.New("the API server does not accept edge's own credential")
)

// tookTooLong is a review that the time of its request was not enough for.
func tookTooLong(err error) error {
	return accessReview.Unavailable(err, "it took too long; try again")
}
