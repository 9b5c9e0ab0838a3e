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

// A PassthroughReviewer asks for identities made by [TokenPassthrough], whom only the API server knows: by
// SelfSubjectAccessReview with the sender's own token, and with the Impersonate-* headers that came with it. It
// remembers nothing, and is for many goroutines.
type PassthroughReviewer struct {
	client  rest.Interface
	timeout time.Duration
}

// NewPassthroughReviewer takes from the configuration where the API server is, and no credential.
func NewPassthroughReviewer(cfg *rest.Config) (*PassthroughReviewer, error) {
	anonymous := rest.AnonymousClientConfig(cfg)
	anonymous.QPS, anonymous.RateLimiter = -1, nil // each question is somebody else's
	shared, err := rest.HTTPClientFor(anonymous)
	if err != nil {
		return nil, err
	}
	straight := *shared
	straight.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token is for one host
	client, err := authorizationv1client.NewForConfigAndClient(anonymous, &straight)
	if err != nil {
		return nil, err
	}
	return &PassthroughReviewer{client: client.RESTClient(), timeout: reviewTimeout}, nil
}

// Review is [Reviewer.Review] for whoever's token is passed through. A refusal of the question itself, as for a token
// that is no longer good or an impersonation that is not allowed, is the API server's own Status.
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

// ReviewBy returns a review by whoever can ask about an identity.
func ReviewBy(edge *Reviewer, passthrough *PassthroughReviewer) func(context.Context, Identity, authorizationv1.ResourceAttributes) error {
	return func(ctx context.Context, id Identity, attrs authorizationv1.ResourceAttributes) error {
		if id.IsTokenPassthrough() {
			return passthrough.Review(ctx, id, attrs)
		}
		return edge.Review(ctx, id, attrs)
	}
}
