package impersonate

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"reflect"
	"sync/atomic"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters/impersonation"
)

// legacyOnly is an authorizer that grants edge what deploy/edge.yaml grants: plain impersonation,
// and no constrained impersonation.
var legacyOnly = authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetVerb() == "impersonate" {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
})

// TestReviewIsAboutWhomAPIServerSees checks that a review is about the same user that the API
// server sees for a request with the identity's headers.
func TestReviewIsAboutWhomAPIServerSees(t *testing.T) {
	codecs := serializer.NewCodecFactory(runtime.NewScheme())
	filters := map[string]func(http.Handler) http.Handler{
		"legacy": func(h http.Handler) http.Handler { return impersonation.WithImpersonation(h, legacyOnly, codecs) },
		"constrained": func(h http.Handler) http.Handler {
			return impersonation.WithConstrainedImpersonation(h, legacyOnly, codecs)
		},
	}
	ids := []Identity{
		{Name: "jane", Groups: []string{user.AllAuthenticated}},
		{Name: "jane", Groups: []string{"dev", user.AllAuthenticated, "ops"}},
		{Name: "jane", Groups: []string{user.AllUnauthenticated}},
		{Name: "jane", Groups: []string{"dev", user.AllUnauthenticated}},
		{Name: "jane", Groups: []string{"dev", "dev"}},
		{Name: "jane", Extra: map[string][]string{"none": {}, "some": {"v", "w"}}},
		{Name: user.Anonymous},
		{Name: user.Anonymous, Groups: []string{"dev"}},
		{Name: user.Anonymous, Groups: []string{user.AllAuthenticated}},
		{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}},
		{Name: "system:serviceaccount:ns:sa"},
		{Name: "system:serviceaccount:ns:sa", Groups: []string{"dev"}},
		{Name: "system:serviceaccount:ns:SA not a name"},
		{Name: "system:serviceaccount:ns"},
		{Name: "system:node:n"},
		{Name: "system:node:n", Groups: []string{user.NodesGroup}},
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		if id, err := fromUser(somebody(random)); err == nil {
			ids = append(ids, id)
		}
	}
	if len(ids) < 40 {
		t.Fatalf("only %d identities: the generator tests nothing", len(ids))
	}

	var asked atomic.Pointer[authorizationv1.SubjectAccessReviewSpec]
	r := reviewer(t, &reviews{decide: func(spec authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		asked.Store(&spec)
		return allow(spec)
	}})
	for name, filter := range filters {
		t.Run(name, func(t *testing.T) {
			server := apiServer(t, filter)
			for n, id := range ids {
				request := must(http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil))
				if err := Rewrite(request.Header, id); err != nil {
					t.Fatal(err)
				}
				resp := must(server.Client().Do(request))
				var want user.DefaultInfo
				err := json.NewDecoder(resp.Body).Decode(&want)
				resp.Body.Close()
				if err != nil || want.Name != id.Name {
					t.Fatalf("%+v: %s %v %v", id, resp.Status, want, err)
				}

				asked.Store(nil)
				attrs := execPod
				// Ask about another name each time, so that no answer comes from the cache.
				attrs.Name = name + string(rune('a'+n))
				if err := r.Review(t.Context(), id, attrs); err != nil {
					t.Fatalf("%+v: %v", id, err)
				}
				spec := asked.Load()
				got := user.DefaultInfo{Name: spec.User, UID: spec.UID, Groups: spec.Groups}
				for key, values := range spec.Extra {
					if got.Extra == nil {
						got.Extra = map[string][]string{}
					}
					got.Extra[key] = values
				}
				want.Extra = nilIfEmpty(want.Extra)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%+v:\n the review is about %+v\n the API server sees %+v", id, got, want)
				}
				if !reflect.DeepEqual(spec.ResourceAttributes, &attrs) {
					t.Errorf("it is asked about %+v, not %+v", spec.ResourceAttributes, attrs)
				}
			}
		})
	}
}

// TestReviewLeavesIdentityAlone checks that a review does not write into the identity's groups,
// which other requests share.
func TestReviewLeavesIdentityAlone(t *testing.T) {
	groups := append(make([]string, 0, 4), "dev")
	r := reviewer(t, &reviews{decide: allow})
	if err := r.Review(t.Context(), Identity{Name: "jane", Groups: groups}, execPod); err != nil {
		t.Fatal(err)
	}
	if behind := groups[:2][1]; behind != "" {
		t.Errorf("%q was written behind the groups, which others share", behind)
	}
}
