package impersonate

import (
	"errors"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/review"
)

// The kinds of refusal. edge answers each of them with 403.
var (
	// ErrNoName is returned if the user has no name. Without a name, a request would have the
	// rights of edge itself.
	ErrNoName = errors.New("impersonate: no user name")
	// ErrSystem is returned if the user's name or group is reserved for Kubernetes itself.
	ErrSystem = errors.New("impersonate: reserved identity")
	// ErrValue is returned if a part of the identity would arrive at the API server changed, or
	// would not arrive at all.
	ErrValue = errors.New("impersonate: identity cannot be sent")
	// ErrRecord is returned if the user has an extra with a key that is reserved for edge's own
	// record of the requestor.
	ErrRecord = errors.New("impersonate: reserved extra key")
	// ErrDenied is returned if the requestor may not impersonate the requested user.
	ErrDenied = errors.New("impersonate: impersonation denied")
)

// A ForbiddenError is a refusal with the message that the client receives. It wraps one of the
// errors ErrNoName, ErrSystem, ErrValue, ErrRecord and ErrDenied.
type ForbiddenError struct {
	Kind    error
	Message string
}

func (e *ForbiddenError) Error() string { return e.Kind.Error() + ": " + e.Message }

func (e *ForbiddenError) Unwrap() error { return e.Kind }

// Status returns the 403 response for the client.
func (e *ForbiddenError) Status() metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: e.Message,
	}
}

// accessReview is the kind of all errors about an access review that this package returns.
var accessReview = &review.Kind{
	Room: "impersonate", Name: "access review", Resource: "subjectaccessreviews", Group: "authorization.k8s.io",
}

// IsUnanswered reports whether err is a [review.Error] of this package: an access review without an
// answer. Its status code is 503 if a retry may help, 429 if too many reviews are running, 500 if a
// retry does not help, and 400 if the review cannot be sent.
func IsUnanswered(err error) bool {
	failed := (*review.Error)(nil)
	return errors.As(err, &failed) && failed.Kind == accessReview
}

var (
	// errBusy is the cause of the 429 that a client receives if too many reviews are running.
	errBusy = errors.New("too many access reviews are running")
	// errUnasked is returned to callers that wait for a shared review if the goroutine that sends
	// it panicked.
	errUnasked error = accessReview.Internal(errors.New("the review ended without an answer"), "edge did not complete it")
	// errNotText is returned for a review with a name that JSON cannot carry: the API server would
	// review another user or object.
	errNotText = errors.New("a name in the review is not valid UTF-8")
	// errNotPassthrough is returned by a [PassthroughReviewer] for an identity without a sender's
	// token.
	errNotPassthrough = errors.New("impersonate: a PassthroughReviewer reviews only identities made by TokenPassthrough")
	// errNoAttributes is returned if a [Request] has no Attributes, which constrained impersonation
	// needs.
	errNoAttributes = errors.New("impersonate: the request has no attributes")
	// errRefused is returned if edge cannot detect constrained impersonation, because the API
	// server refuses edge's own credential. The API server checks the credential before it reads
	// the Impersonate-* headers of edge's detection request.
	errRefused = errors.New("the API server does not accept edge's own credential")
)

// tookTooLong returns the error for a review that did not end within the timeout of its request.
func tookTooLong(err error) error {
	return accessReview.Unavailable(err, "it took too long; try again")
}
