package impersonate

import authorizationv1 "k8s.io/api/authorization/v1"

// A question is one review; or, with a refusal, none: no right would help.
type question struct {
	spec    authorizationv1.SubjectAccessReviewSpec
	what    string // is requested
	refusal string
}

// about asks the same about another name.
func (q question) about(name string) question {
	attrs := *q.spec.ResourceAttributes
	attrs.Name = name
	q.spec.ResourceAttributes = &attrs
	return q
}
