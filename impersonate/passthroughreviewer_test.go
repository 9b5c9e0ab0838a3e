package impersonate

import (
	"edge/review"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/scheme"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

// selfSubjectReviews replaces the API server: it stores the header of a review request, and answers
// with status, or with broken if that is set.
type selfSubjectReviews struct {
	status authorizationv1.SubjectAccessReviewStatus
	broken http.Handler
	header http.Header
	spec   authorizationv1.SelfSubjectAccessReviewSpec
}

func (s *selfSubjectReviews) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.header = r.Header.Clone()
	var review authorizationv1.SelfSubjectAccessReview
	_, kind, err := scheme.Codecs.UniversalDeserializer().Decode(must(io.ReadAll(r.Body)), nil, &review)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
		http.Error(w, "not a review", http.StatusBadRequest)
		return
	}
	s.spec = review.Spec
	if s.broken != nil {
		s.broken.ServeHTTP(w, r)
		return
	}
	review.SetGroupVersionKind(*kind)
	review.Status = s.status
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(review)
}

func passthroughReviewer(t *testing.T, h http.Handler) *PassthroughReviewer {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	// The rest.Config contains edge's own credential, which a PassthroughReviewer must not use.
	return must(NewPassthroughReviewer(&rest.Config{Host: server.URL, BearerToken: "edge's own", Impersonate: rest.ImpersonationConfig{UserName: "x"}}))
}

// TestPassthroughReview checks that edge sends the review with the sender's token and Impersonate-*
// headers, and with no credential of its own. The result must be the same as that of a Reviewer.
func TestPassthroughReview(t *testing.T) {
	header := http.Header{"Impersonate-User": {"bob"}, "Impersonate-Group": {"a", "b"}, "Accept": {"text/plain"}}
	sender := TokenPassthrough("theirs", &user.DefaultInfo{Name: "jane"}, header)
	server := &selfSubjectReviews{status: authorizationv1.SubjectAccessReviewStatus{Allowed: true}}
	r := passthroughReviewer(t, server)
	if err := r.Review(t.Context(), sender, execPod); err != nil {
		t.Fatal(err)
	}
	if got := server.header; got.Get("Authorization") != "Bearer theirs" || len(got["Authorization"]) != 1 || got.Get("Impersonate-User") != "bob" ||
		len(got["Impersonate-User"]) != 1 || strings.Join(got["Impersonate-Group"], " ") != "a b" || got.Get("Accept") == "text/plain" {
		t.Errorf("asked with %q", got)
	}
	if server.spec.ResourceAttributes == nil || *server.spec.ResourceAttributes != execPod {
		t.Errorf("asked about %+v", server.spec)
	}

	server.status = authorizationv1.SubjectAccessReviewStatus{Reason: "why"}
	const words = `pods "x" is forbidden: User "bob" cannot create resource "pods/exec" in API group "" in the namespace "ns": why`
	if err := r.Review(t.Context(), sender, execPod); !apierrors.IsForbidden(err) || err.Error() != words {
		t.Error(err)
	}
	if err := r.Review(t.Context(), TokenPassthrough("theirs", &user.DefaultInfo{Name: "jane"}, nil), execPod); err == nil || !strings.Contains(err.Error(), `User "jane"`) {
		t.Error(err)
	}
	if server.header["Impersonate-User"] != nil { // edge must not send the Impersonate-* headers of its own configuration
		t.Errorf("without Impersonate-* it is asked with %q", server.header)
	}
	server.status = authorizationv1.SubjectAccessReviewStatus{EvaluationError: "x"}
	if err := r.Review(t.Context(), sender, execPod); codeOf(err) != 500 {
		t.Error(err)
	}
	for _, id := range []Identity{{Name: "jane"}, EdgeItself(), {}} {
		server.header = nil
		if err := r.Review(t.Context(), id, execPod); err == nil || server.header != nil {
			t.Errorf("%+v: %v, asked with %q", id, err, server.header)
		}
	}
}

// TestPassthroughReviewFails checks the errors of a PassthroughReviewer: for an expired token and
// for a forbidden impersonation, the API server's Status; if there is no answer, a review.Error.
func TestPassthroughReviewFails(t *testing.T) {
	sender := TokenPassthrough("theirs", &user.DefaultInfo{Name: "jane"}, nil)
	for code, want := range map[int]int32{400: 400, 401: 401, 403: 403, 404: 500, 500: 503, 503: 503} {
		body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"secret","code":%d}`, code)
		server := &selfSubjectReviews{broken: broken(code, body)}
		err := passthroughReviewer(t, server).Review(t.Context(), sender, execPod)
		var failed *review.Error
		if codeOf(err) != want || errors.As(err, &failed) != (want >= 500) {
			t.Errorf("%d became %d %v", code, codeOf(err), err)
		}
		if errors.As(err, &failed) && strings.Contains(failed.Status().Message, "secret") || strings.Contains(err.Error(), "theirs") {
			t.Errorf("%d: %v", code, err)
		}
	}
	done := make(chan struct{})
	r := passthroughReviewer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer close(done)
	r.timeout = 10 * time.Millisecond
	if err := r.Review(t.Context(), sender, execPod); codeOf(err) != 503 {
		t.Errorf("no answer: %v", err)
	}
}

func TestReviewBy(t *testing.T) {
	asEdge := &reviews{decide: allow}
	asSender := &selfSubjectReviews{status: authorizationv1.SubjectAccessReviewStatus{Allowed: true}}
	server := httptest.NewServer(asEdge)
	t.Cleanup(server.Close)
	client := must(authorizationv1client.NewForConfig(&rest.Config{Host: server.URL}))
	review := ReviewBy(NewReviewer(client.SubjectAccessReviews()), passthroughReviewer(t, asSender))
	if err := review(t.Context(), Identity{Name: "jane"}, execPod); err != nil || asEdge.asked.Load() != 1 || asSender.header != nil {
		t.Error(err, asEdge.asked.Load(), asSender.header)
	}
	if err := review(t.Context(), TokenPassthrough("theirs", &user.DefaultInfo{Name: "jane"}, nil), execPod); err != nil || asEdge.asked.Load() != 1 || asSender.header == nil {
		t.Error(err, asEdge.asked.Load(), asSender.header)
	}
}

// TestPassthroughReviewFollowsNoRedirect checks that edge sends the sender's token to the API
// server only, and follows no redirect of its response.
func TestPassthroughReviewFollowsNoRedirect(t *testing.T) {
	var elsewhere selfSubjectReviews
	other := httptest.NewServer(&elsewhere)
	t.Cleanup(other.Close)
	server := &selfSubjectReviews{broken: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})}
	sender := TokenPassthrough("theirs", &user.DefaultInfo{Name: "jane"}, http.Header{"Impersonate-User": {"bob"}})
	if err := passthroughReviewer(t, server).Review(t.Context(), sender, execPod); codeOf(err) != 500 || elsewhere.header != nil {
		t.Error(err, elsewhere.header)
	}
}
