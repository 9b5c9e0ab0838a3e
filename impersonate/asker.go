package impersonate

import (
	"context"
	"errors"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// An Asker asks the API server whether a user may do something, and returns the answer and the
// reason for it. If err is not nil, there is no answer. [Reviewer] is an Asker.
type Asker interface {
	Ask(ctx context.Context, question authorizationv1.SubjectAccessReviewSpec) (allowed bool, reason string, err error)
}

type noAsker struct{}

func (noAsker) Ask(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, string, error) {
	return false, "", accessReview.Internal(errors.New("no reviewer is configured"), "edge has no reviewer to send it")
}
