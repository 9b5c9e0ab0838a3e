package impersonate

import (
	"bytes"
	"context"
	"edge/review"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/client-go/kubernetes/scheme"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

var execPod = authorizationv1.ResourceAttributes{
	Namespace: "ns", Verb: "create", Version: "v1", Resource: "pods", Subresource: "exec", Name: "x",
}

// reviews replaces the API server: it decodes the review that client-go sends and answers it with
// the result of decide.
type reviews struct {
	decide func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus
	asked  atomic.Int64
}

func (s *reviews) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	var review authorizationv1.SubjectAccessReview // client-go sends the review in JSON or protobuf
	_, kind, err := scheme.Codecs.UniversalDeserializer().Decode(must(io.ReadAll(r.Body)), nil, &review)
	if err != nil || *kind != authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview") || r.Method != http.MethodPost ||
		r.URL.Path != "/apis/authorization.k8s.io/v1/subjectaccessreviews" {
		http.Error(w, "not a review", http.StatusBadRequest)
		return
	}
	review.SetGroupVersionKind(*kind)
	review.Status = s.decide(review.Spec)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(review)
}

func reviewer(t testing.TB, h http.Handler) *Reviewer {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client, err := authorizationv1client.NewForConfig(&rest.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return NewReviewer(client.SubjectAccessReviews())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func allow(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
	return authorizationv1.SubjectAccessReviewStatus{Allowed: true}
}

// TestReview checks that the error about a refused review has exactly the API server's own words.
func TestReview(t *testing.T) {
	pod := func(change func(*authorizationv1.ResourceAttributes)) authorizationv1.ResourceAttributes {
		attrs := execPod
		change(&attrs)
		return attrs
	}
	for name, test := range map[string]struct {
		user    string
		attrs   authorizationv1.ResourceAttributes
		status  authorizationv1.SubjectAccessReviewStatus
		allowed bool
	}{
		"allowed":                    {user: "u", attrs: execPod, status: authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: "RBAC: allowed by x"}, allowed: true},
		"allowed, with an error":     {user: "u", attrs: execPod, status: authorizationv1.SubjectAccessReviewStatus{Allowed: true, EvaluationError: "x"}, allowed: true},
		"no opinion":                 {user: "u", attrs: execPod},
		"denied":                     {user: "u", attrs: execPod, status: authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: "by a webhook"}},
		"denied and allowed":         {user: "u", attrs: execPod, status: authorizationv1.SubjectAccessReviewStatus{Denied: true, Allowed: true}},
		"no opinion, with a reason":  {user: "u", attrs: execPod, status: authorizationv1.SubjectAccessReviewStatus{Reason: `RBAC: role "a" not found <&>`}},
		"cluster scope":              {user: "u", attrs: authorizationv1.ResourceAttributes{Verb: "create", Resource: "nodes", Subresource: "proxy", Name: "n:10250"}},
		"a group, no subresource":    {user: "u", attrs: authorizationv1.ResourceAttributes{Namespace: "ns", Verb: "get", Group: "apps", Resource: "deployments", Name: "d"}},
		"no name":                    {user: "u", attrs: pod(func(a *authorizationv1.ResourceAttributes) { a.Name = "" })},
		"what could be HTML":         {user: "<b>&", attrs: pod(func(a *authorizationv1.ResourceAttributes) { a.Name, a.Namespace = "<i>", "<p>" })},
		"what could be a format":     {user: "%s%d", attrs: pod(func(a *authorizationv1.ResourceAttributes) { a.Name, a.Namespace = "%n", "%v" })},
		"quotes and other alphabets": {user: `Jürgen "開発"`, attrs: execPod},
	} {
		t.Run(name, func(t *testing.T) {
			server := &reviews{decide: func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
				return test.status
			}}
			err := reviewer(t, server).Review(t.Context(), Identity{Name: test.user}, test.attrs)
			if test.allowed {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			want := responsewriters.ForbiddenStatusError(authorizer.AttributesRecord{
				User: &user.DefaultInfo{Name: test.user}, Verb: test.attrs.Verb, Namespace: test.attrs.Namespace, APIGroup: test.attrs.Group,
				Resource: test.attrs.Resource, Subresource: test.attrs.Subresource, Name: test.attrs.Name, ResourceRequest: true,
			}, test.status.Reason)
			var got *apierrors.StatusError
			if !errors.As(err, &got) || !reflect.DeepEqual(got.ErrStatus, want.ErrStatus) {
				t.Errorf("\n got %+v\nwant %+v", err, want.ErrStatus)
			}
		})
	}
}

// broken returns a handler that answers a review with an error, as an API server that has a
// problem.
func broken(code int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	})
}

// TestReviewFails checks that a review without an answer never counts as a yes, is reported to the
// client without details, and is not cached.
func TestReviewFails(t *testing.T) {
	refused := string(must(json.Marshal(apierrors.NewForbidden(authorizationv1.Resource("subjectaccessreviews"), "", errors.New("secret")).ErrStatus)))
	for name, test := range map[string]struct {
		server http.Handler
		code   int32
		says   string
	}{
		"edge may not ask": {broken(http.StatusForbidden, refused), http.StatusInternalServerError, "edge itself lacks permission to create subjectaccessreviews"},
		"edge is unknown":  {broken(http.StatusUnauthorized, `{}`), http.StatusServiceUnavailable, "does not accept edge's own credential"},
		"no such resource": {broken(http.StatusNotFound, `secret`), http.StatusInternalServerError, "rejected the review request"},
		"invalid":          {broken(http.StatusUnprocessableEntity, `secret`), http.StatusInternalServerError, "rejected the review request"},
		"overloaded":       {broken(http.StatusTooManyRequests, `secret`), http.StatusServiceUnavailable, "try again"},
		"an error":         {broken(http.StatusInternalServerError, `secret`), http.StatusServiceUnavailable, "try again"},
		"not ready":        {broken(http.StatusServiceUnavailable, `secret`), http.StatusServiceUnavailable, "try again"},
		"a gateway's time": {broken(http.StatusGatewayTimeout, `secret`), http.StatusServiceUnavailable, "try again"},
		"no JSON":          {broken(http.StatusCreated, `{"status":{"allowed":true,secret`), http.StatusServiceUnavailable, "did not answer"},
		"hangs up": {http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
			http.StatusServiceUnavailable, "did not answer"},
		"too late": {http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
			http.StatusServiceUnavailable, "did not answer"},
		"not evaluated": {&reviews{decide: func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
			return authorizationv1.SubjectAccessReviewStatus{EvaluationError: "secret"}
		}}, http.StatusInternalServerError, "could not evaluate it"},
		"denied, not evaluated": {&reviews{decide: func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
			return authorizationv1.SubjectAccessReviewStatus{Denied: true, EvaluationError: "secret"}
		}}, http.StatusInternalServerError, "could not evaluate it"},
	} {
		t.Run(name, func(t *testing.T) {
			var mended atomic.Bool
			r := reviewer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if mended.Load() {
					(&reviews{decide: allow}).ServeHTTP(w, r)
					return
				}
				// Read the body, because net/http notices only after that when a client
				// disconnects.
				body := must(io.ReadAll(r.Body))
				r.Body = io.NopCloser(bytes.NewReader(body))
				test.server.ServeHTTP(w, r)
			}))
			if name == "too late" {
				r.timeout = 50 * time.Millisecond
			}
			err := r.Review(t.Context(), Identity{Name: "u"}, execPod)
			failed := new(review.Error)
			if !errors.As(err, &failed) {
				t.Fatalf("got %v", err)
			}
			status := failed.Status()
			if status.Code != test.code || status.Status != metav1.StatusFailure || !strings.Contains(status.Message, test.says) ||
				!strings.HasPrefix(status.Message, "edge: the access review failed: ") || strings.Contains(status.Message, "secret") {
				t.Errorf("got %+v", status)
			}
			if apierrors.IsForbidden(err) {
				t.Error("what is not known is said as a refusal")
			}
			mended.Store(true)
			r.timeout = reviewTimeout
			if err := r.Review(t.Context(), Identity{Name: "u"}, execPod); err != nil {
				t.Errorf("the failure is remembered: %v", err)
			}
		})
	}
}

// TestReviewOfWhatIsNotText checks that edge does not send a review with a name that JSON would
// change into another name.
func TestReviewOfWhatIsNotText(t *testing.T) {
	server := &reviews{decide: allow}
	r := reviewer(t, server)
	pod := execPod
	pod.Name = "x\xff"
	for name, err := range map[string]error{
		"user":  r.Review(t.Context(), Identity{Name: "u\xff"}, execPod),
		"group": r.Review(t.Context(), Identity{Name: "u", Groups: []string{"\xc3"}}, execPod),
		"extra": r.Review(t.Context(), Identity{Name: "u", Extra: map[string][]string{"k": {"\xff"}}}, execPod),
		"pod":   r.Review(t.Context(), Identity{Name: "u"}, pod),
	} {
		failed := new(review.Error)
		if !errors.As(err, &failed) || failed.Status().Code != http.StatusBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if server.asked.Load() != 0 {
		t.Error("it was asked")
	}
	if err := r.Review(t.Context(), Identity{Name: "u\ufffd"}, execPod); err != nil {
		t.Errorf("a name in UTF-8: %v", err)
	}
}

// clock is a clock for tests: its time changes only when the test sets it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) move(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

// TestReviewRemembers checks that the answer to a review is cached for 10 s, and counts only for
// exactly the same question.
func TestReviewRemembers(t *testing.T) {
	var allowed atomic.Bool
	server := &reviews{decide: func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: allowed.Load(), Reason: "why"}
	}}
	r := reviewer(t, server)
	c := &clock{now: time.Unix(1, 0)}
	r.answers = cache.NewLRUExpireCacheWithClock(maxAnswers, c)
	id := Identity{Name: "u", UID: "1", Groups: []string{"a", "b"}, Extra: map[string][]string{"k": {"v"}}}
	for _, now := range []bool{false, true, false} {
		allowed.Store(now)
		before := server.asked.Load()
		for range 3 {
			err := r.Review(t.Context(), id, execPod)
			if (err == nil) != now || err != nil && !strings.HasSuffix(err.Error(), `in the namespace "ns": why`) {
				t.Errorf("allowed %v: %v", now, err)
			}
		}
		if asked := server.asked.Load() - before; asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		allowed.Store(!now)
		c.move(answerAge - time.Millisecond)
		if err := r.Review(t.Context(), id, execPod); (err == nil) != now {
			t.Errorf("forgotten too early: %v", err)
		}
		c.move(2 * time.Millisecond)
	}

	others := map[string]func(*Identity, *authorizationv1.ResourceAttributes){
		"user":         func(id *Identity, _ *authorizationv1.ResourceAttributes) { id.Name = "v" },
		"uid":          func(id *Identity, _ *authorizationv1.ResourceAttributes) { id.UID = "2" },
		"no uid":       func(id *Identity, _ *authorizationv1.ResourceAttributes) { id.UID = "" },
		"a group less": func(id *Identity, _ *authorizationv1.ResourceAttributes) { id.Groups = []string{"a"} },
		"groups cut":   func(id *Identity, _ *authorizationv1.ResourceAttributes) { id.Groups = []string{"ab"} },
		"comma":        func(id *Identity, _ *authorizationv1.ResourceAttributes) { id.Groups = []string{`a","b`} },
		"extra value":  func(id *Identity, _ *authorizationv1.ResourceAttributes) { id.Extra = map[string][]string{"k": {"w"}} },
		"extra key":    func(id *Identity, _ *authorizationv1.ResourceAttributes) { id.Extra = map[string][]string{"l": {"v"}} },
		"verb":         func(_ *Identity, a *authorizationv1.ResourceAttributes) { a.Verb = "get" },
		"namespace":    func(_ *Identity, a *authorizationv1.ResourceAttributes) { a.Namespace = "other" },
		"name":         func(_ *Identity, a *authorizationv1.ResourceAttributes) { a.Name = "y" },
		"resource":     func(_ *Identity, a *authorizationv1.ResourceAttributes) { a.Resource = "nodes" },
		"subresource":  func(_ *Identity, a *authorizationv1.ResourceAttributes) { a.Subresource = "attach" },
		"group":        func(_ *Identity, a *authorizationv1.ResourceAttributes) { a.Group = "apps" },
		"version":      func(_ *Identity, a *authorizationv1.ResourceAttributes) { a.Version = "v2" },
	}
	allowed.Store(true)
	if err := r.Review(t.Context(), id, execPod); err != nil {
		t.Fatal(err)
	}
	allowed.Store(false)
	for name, change := range others {
		other, attrs := id, execPod
		change(&other, &attrs)
		if err := r.Review(t.Context(), other, attrs); !apierrors.IsForbidden(err) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// TestReviewIsShared (row ReviewFlood of the attack corpus in docs/security.md, for one question)
// checks that any number of callers with the same question cause one review, and that the review
// continues if its first caller leaves.
func TestReviewIsShared(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	server := &reviews{decide: func(spec authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		close(arrived) // panics if a second review arrives
		<-release
		return allow(spec)
	}}
	r := reviewer(t, server)
	first, leave := context.WithCancel(t.Context())
	const others = 100
	answers := make(chan error, 1+others)
	leave() // cancel before the call: the test could not see when Review notices a later cancellation
	go func() { answers <- r.Review(first, Identity{Name: "u"}, execPod) }()
	select {
	case <-arrived:
	case err := <-answers:
		t.Fatal(err)
	}
	for range others {
		go func() { answers <- r.Review(t.Context(), Identity{Name: "u"}, execPod) }()
	}
	close(release)
	for range 1 + others {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if asked := server.asked.Load(); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestReviewWaitersMayLeave checks that a caller that waits for another caller's review returns as
// soon as its own context ends.
func TestReviewWaitersMayLeave(t *testing.T) {
	g := newGauge(1, func(authorizationv1.SubjectAccessReviewSpec) bool { return true })
	r := NewReviewer(g)
	answer := make(chan error, 1)
	go func() { answer <- r.Review(t.Context(), Identity{Name: "u"}, execPod) }()
	<-g.full
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := r.Review(gone, Identity{Name: "u"}, execPod); codeOf(err) != http.StatusServiceUnavailable || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if g.now.Load() != 1 {
		t.Error("a caller that had left waited for another's question")
	}
	close(g.open)
	if err := <-answer; err != nil || g.all.Load() != 1 {
		t.Errorf("%v after %d reviews", err, g.all.Load())
	}
}

// TestReviewsAreBounded (row ReviewFlood of the attack corpus in docs/security.md, for many
// questions) checks that the cache of answers to reviews is bounded.
func TestReviewsAreBounded(t *testing.T) {
	r := NewReviewer(yes{})
	for n := range maxAnswers + 500 {
		if err := r.Review(t.Context(), Identity{Name: strconv.Itoa(n)}, execPod); err != nil {
			t.Fatal(err)
		}
	}
	if kept := len(r.answers.Keys()); kept != maxAnswers {
		t.Errorf("%d answers are kept", kept)
	}
}

// yes is a client for reviews that allows everything. It works without a network, for thousands of
// reviews.
type yes struct {
	authorizationv1client.SubjectAccessReviewExpansion
}

func (yes) Create(_ context.Context, review *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	review.Status.Allowed = true
	return review, nil
}
