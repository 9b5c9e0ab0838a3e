package impersonate

import authorizationv1 "k8s.io/api/authorization/v1"

// A question is one access review that a Policy needs. If refusal is set, edge sends no review,
// because no right allows the request.
type question struct {
	spec    authorizationv1.SubjectAccessReviewSpec
	what    string // the part of the request that the review is about, for example "user 'bob'"; the error names it
	refusal string
}

// about returns the same question about the object called name.
func (q question) about(name string) question {
	attrs := *q.spec.ResourceAttributes
	attrs.Name = name
	q.spec.ResourceAttributes = &attrs
	return q
}
