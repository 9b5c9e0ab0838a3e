package impersonate

import (
	"context"
	"errors"
	"net/http"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

// A SelfReviewer asks for identities made by [Own], whom only the API server knows: with the sender's own token, and with the
// Impersonate-* headers that came with it. It remembers nothing, and is for many goroutines.
type SelfReviewer struct {
	client  rest.Interface
	timeout time.Duration
}

// NewSelfReviewer takes from the configuration where the API server is, and no credential.
func NewSelfReviewer(cfg *rest.Config) (*SelfReviewer, error) {
	anonymous := rest.AnonymousClientConfig(cfg)
	anonymous.QPS, anonymous.RateLimiter = -1, nil // each question is somebody else's
	shared, err := rest.HTTPClientFor(anonymous)
	if err != nil {
		return nil, err
	}
	own := *shared
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token is for one host
	client, err := authorizationv1client.NewForConfigAndClient(anonymous, &own)
	if err != nil {
		return nil, err
	}
	return &SelfReviewer{client: client.RESTClient(), timeout: reviewTimeout}, nil
}

var errNotOwn = errors.New("impersonate: only an identity with a token of its own can be asked about itself")

// Review is [Reviewer.Review] for who sends a token of its own. A refusal of the question itself, as for a token that is no
// longer good or a wish that is not granted, is the API server's own Status.
func (r *SelfReviewer) Review(ctx context.Context, id Identity, attrs authorizationv1.ResourceAttributes) error {
	if !id.IsOwn() {
		return errNotOwn
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	request := r.client.Post().Resource("selfsubjectaccessreviews").SetHeader("Authorization", "Bearer "+id.own).
		Body(&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attrs}})
	for name, values := range id.wish {
		request.SetHeader(name, values...)
	}
	var review authorizationv1.SelfSubjectAccessReview
	if err := request.Do(ctx).Into(&review); err != nil {
		if apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) {
			return err
		}
		return reviewFailed(err)
	}
	given, err := answerOf(review.Status)
	if err != nil || given.allowed {
		return err
	}
	name := id.Name
	if wished := id.wish.Get(userHeader); wished != "" {
		name = wished
	}
	return refusal(authorizationv1.SubjectAccessReviewSpec{User: name, ResourceAttributes: &attrs}, given.reason)
}

// ReviewBy returns a review by whoever can ask about an identity.
func ReviewBy(edge *Reviewer, own *SelfReviewer) func(context.Context, Identity, authorizationv1.ResourceAttributes) error {
	return func(ctx context.Context, id Identity, attrs authorizationv1.ResourceAttributes) error {
		if id.IsOwn() {
			return own.Review(ctx, id, attrs)
		}
		return edge.Review(ctx, id, attrs)
	}
}
