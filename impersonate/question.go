package impersonate

import authorizationv1 "k8s.io/api/authorization/v1"

// A question is one review. If refusal is set, no review is sent, because no right allows this
// request.
type question struct {
	spec    authorizationv1.SubjectAccessReviewSpec
	what    string // the requested part, for the error
	refusal string
}

// about returns the same question about another name.
func (q question) about(name string) question {
	attrs := *q.spec.ResourceAttributes
	attrs.Name = name
	q.spec.ResourceAttributes = &attrs
	return q
}
