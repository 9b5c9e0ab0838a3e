package impersonate

import (
	"context"
	"errors"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// An Asker asks the API server whether somebody may do something, and says its reason. An error is neither yes nor no.
// [Reviewer] is one.
type Asker interface {
	Ask(context.Context, authorizationv1.SubjectAccessReviewSpec) (allowed bool, reason string, err error)
}

type noAsker struct{}

func (noAsker) Ask(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, string, error) {
	return false, "", accessReview.Internal(errors.New("there is no reviewer"), "nobody is there to be asked")
}
