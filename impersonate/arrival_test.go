package impersonate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/filters/impersonation"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes/scheme"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// cluster replaces an API server's authorizer: it answers reviews by its rules, and stores the
// reviews. Both edge and the API server's impersonation filters ask it.
type cluster struct {
	authorizationv1client.SubjectAccessReviewExpansion
	rules []rule

	mu    sync.Mutex
	asked map[string]authorizationv1.SubjectAccessReviewSpec
}

const why = "because of <nothing>"

func (c *cluster) decide(spec authorizationv1.SubjectAccessReviewSpec) bool {
	key := string(must(json.Marshal(spec)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked == nil {
		c.asked = make(map[string]authorizationv1.SubjectAccessReviewSpec)
	}
	c.asked[key] = spec
	return allows(c.rules, &spec)
}

// Create answers a review that edge sends.
func (c *cluster) Create(
	_ context.Context, review *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions,
) (*authorizationv1.SubjectAccessReview, error) {
	review.Status.Allowed = c.decide(review.Spec)
	review.Status.Reason = why
	return review, nil
}

// Authorize answers an impersonation filter of the API server. It makes a review of the attributes
// with specOf; TestSpecOf checks that the API server makes the same one.
func (c *cluster) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	u := a.GetUser()
	spec := authorizationv1.SubjectAccessReviewSpec{User: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups()}
	for key, values := range u.GetExtra() {
		if spec.Extra == nil {
			spec.Extra = make(map[string]authorizationv1.ExtraValue)
		}
		spec.Extra[key] = values
	}
	specOf(&spec, a)
	if c.decide(spec) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, why, nil
}

type filter func(http.Handler, authorizer.UnconditionalAuthorizer) http.Handler

var (
	plainFilter filter = func(h http.Handler, a authorizer.UnconditionalAuthorizer) http.Handler {
		return impersonation.WithImpersonation(h, a, scheme.Codecs)
	}
	constrainedFilter filter = func(h http.Handler, a authorizer.UnconditionalAuthorizer) http.Handler {
		return impersonation.WithConstrainedImpersonation(h, a, scheme.Codecs)
	}
)

// arrival is one request of a requestor that arrives at an API server, or at edge.
type arrival struct {
	requestor *user.DefaultInfo
	header    http.Header
	request   *http.Request
	info      *request.RequestInfo
	named     bool
}

var version = &request.RequestInfo{Path: "/version", Verb: "get"}

func (a *arrival) String() string {
	return fmt.Sprintf("%+v, named %v\n %s %s\n %q", a.requestor, a.named, a.request.Method, a.request.URL, a.header)
}

// at is the method that sends the request through an impersonation filter of the API server. It
// stores the resulting user in who, or returns the filter's Status.
func (a *arrival) at(through http.Handler, who *user.Info, requestor user.Info) metav1.Status {
	*who = nil
	ctx := request.WithRequestInfo(request.WithUser(context.Background(), requestor), a.info)
	r := a.request.Clone(ctx)
	r.Header = a.header.Clone()
	w := httptest.NewRecorder()
	through.ServeHTTP(w, r)
	if *who != nil {
		return metav1.Status{Code: http.StatusOK}
	}
	var status metav1.Status
	_ = json.Unmarshal(w.Body.Bytes(), &status)
	status.Code = int32(w.Code)
	return status
}

// tell returns the handler behind an impersonation filter. For a request that the filter lets
// through, the handler stores the request's user in who.
func tell(who *user.Info) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { *who, _ = request.UserFrom(r.Context()) })
}

// authenticated returns the requestor after kube-apiserver's authentication, which adds the group
// system:authenticated.
func authenticated(u *user.DefaultInfo) user.Info {
	chain := group.NewAuthenticatedGroupAdder(authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
		return &authenticator.Response{User: u}, true, nil
	}))
	resp, _, err := chain.AuthenticateRequest(nil)
	return must(resp, err).User
}

func newPolicy(t testing.TB, ask Asker, constrained bool) *Policy {
	t.Helper()
	p, err := NewPolicy(PolicyConfig{Ask: ask, Constrained: func(context.Context) bool { return constrained }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (a *arrival) atEdge(p *Policy) (Identity, error) {
	p.system = map[string]bool{}
	if a.named {
		for _, name := range append([]string{a.requestor.Name}, a.requestor.Groups...) {
			p.system[name] = true
		}
	}
	return p.Identity(context.Background(), a.requestor, Request{
		Header: a.header,
		// The attributes contain the user "edge" instead of the requestor. edge must ignore this user.
		Attributes: func() (authorizer.Attributes, error) {
			ctx := request.WithRequestInfo(request.WithUser(context.Background(), &user.DefaultInfo{Name: "edge"}), a.info)
			return filters.GetAuthorizerAttributes(ctx)
		},
	})
}

func codeOf(err error) int32 {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &status):
		return status.Status().Code
	}
	return http.StatusInternalServerError
}
