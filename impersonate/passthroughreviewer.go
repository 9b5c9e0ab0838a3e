package impersonate

import (
	"context"
	"net/http"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

// A PassthroughReviewer reviews the rights of users that only the API server knows: identities made
// by [TokenPassthrough]. It sends a SelfSubjectAccessReview with the sender's own token and
// Impersonate-* headers. It caches nothing, and is safe for concurrent use.
type PassthroughReviewer struct {
	client  rest.Interface
	timeout time.Duration
}

// NewPassthroughReviewer takes the API server's address from cfg, but no credential.
func NewPassthroughReviewer(cfg *rest.Config) (*PassthroughReviewer, error) {
	anonymous := rest.AnonymousClientConfig(cfg)
	// Set no rate limit, because each review has another sender and none must wait for others.
	anonymous.QPS, anonymous.RateLimiter = -1, nil
	shared, err := rest.HTTPClientFor(anonymous)
	if err != nil {
		return nil, err
	}
	straight := *shared
	// Follow no redirect: edge must send the sender's token to no other host than the API server.
	straight.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client, err := authorizationv1client.NewForConfigAndClient(anonymous, &straight)
	if err != nil {
		return nil, err
	}
	return &PassthroughReviewer{client: client.RESTClient(), timeout: reviewTimeout}, nil
}

// Review does the same as [Reviewer.Review], for an identity whose token edge passes through. If
// the API server refuses the review request itself, the error is the API server's own Status. This
// happens if the token has expired or the impersonation is not allowed.
func (r *PassthroughReviewer) Review(ctx context.Context, id Identity, attrs authorizationv1.ResourceAttributes) error {
	if !id.IsTokenPassthrough() {
		return errNotPassthrough
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	request := r.client.Post().Resource("selfsubjectaccessreviews").SetHeader("Authorization", "Bearer "+id.senderToken).
		Body(&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attrs}})
	for name, values := range id.senderHeaders {
		request.SetHeader(name, values...)
	}
	var review authorizationv1.SelfSubjectAccessReview
	if err := request.Do(ctx).Into(&review); err != nil {
		if apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) {
			return err
		}
		return accessReview.Failed(err)
	}
	given, err := answerOf(review.Status)
	if err != nil || given.allowed {
		return err
	}
	name := id.Name
	if impersonated := id.senderHeaders.Get(userHeader); impersonated != "" {
		name = impersonated
	}
	return refusal(authorizationv1.SubjectAccessReviewSpec{User: name, ResourceAttributes: &attrs}, given.reason)
}

// ReviewBy returns a function that reviews what an identity may do. The function uses passthrough
// if the identity's token is passed through, and the Reviewer edge otherwise.
func ReviewBy(edge *Reviewer, passthrough *PassthroughReviewer) func(context.Context, Identity, authorizationv1.ResourceAttributes) error {
	return func(ctx context.Context, id Identity, attrs authorizationv1.ResourceAttributes) error {
		if id.IsTokenPassthrough() {
			return passthrough.Review(ctx, id, attrs)
		}
		return edge.Review(ctx, id, attrs)
	}
}
