package authn

import (
	"context"
	"edge/review"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"
	"k8s.io/client-go/kubernetes/scheme"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"
)

// tokenReviews replaces the API server: it decodes the TokenReview that client-go sends and answers
// it with decide.
type tokenReviews struct {
	decide func(authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus
	asked  atomic.Int64
}

func (s *tokenReviews) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	body, err := io.ReadAll(r.Body)
	var review authenticationv1.TokenReview // client-go sends the review in JSON or protobuf
	if err == nil {
		_, _, err = scheme.Codecs.UniversalDeserializer().Decode(body, nil, &review)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
		http.Error(w, "not a review", http.StatusBadRequest)
		return
	}
	review.SetGroupVersionKind(authenticationv1.SchemeGroupVersion.WithKind("TokenReview"))
	review.Status = s.decide(review.Spec)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(review)
}

func reviewsClient(t testing.TB, h http.Handler) *authenticationv1client.AuthenticationV1Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client, err := authenticationv1client.NewForConfig(&rest.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func tokenReviewer(t testing.TB, h http.Handler, audiences ...string) *TokenReviewer {
	t.Helper()
	return NewTokenReviewer(reviewsClient(t, h).TokenReviews(), audiences, slog.New(slog.DiscardHandler))
}

// apiServersReview returns kube-apiserver's own authenticator that sends TokenReviews to a webhook.
// h is the webhook.
func apiServersReview(t testing.TB, h http.Handler) authenticator.Token {
	t.Helper()
	metrics := webhook.AuthenticatorMetrics{
		RecordRequestTotal:   func(context.Context, string) {},
		RecordRequestLatency: func(context.Context, string, float64) {},
	}
	w, err := webhook.NewFromInterface(reviewsClient(t, h), nil, wait.Backoff{Steps: 1}, 0, metrics)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func yesTo(name string, audiences ...string) authenticationv1.TokenReviewStatus {
	return authenticationv1.TokenReviewStatus{
		Authenticated: true, User: authenticationv1.UserInfo{Username: name}, Audiences: audiences,
	}
}

// TestTokenReview checks that edge accepts and refuses the same answers to a token review as
// kube-apiserver does if its webhook sends them.
func TestTokenReview(t *testing.T) {
	everything := yesTo("system:serviceaccount:ns:n", "other", "edge")
	everything.User.UID = "0815"
	everything.User.Groups = []string{"system:serviceaccounts", "system:authenticated"}
	everything.User.Extra = map[string]authenticationv1.ExtraValue{"k": {"v", "w"}}
	both := yesTo("u", "edge")
	both.Error = "and yet"
	for name, test := range map[string]struct {
		audiences []string
		status    authenticationv1.TokenReviewStatus
		accepted  bool
		stricter  bool // edge refuses this answer, and kube-apiserver accepts it
	}{
		"accepted":                         {status: yesTo("u"), accepted: true},
		"accepted, its own audiences":      {status: yesTo("u", "https://kubernetes.default.svc"), accepted: true},
		"all of a user":                    {audiences: []string{"edge"}, status: everything, accepted: true},
		"one audience of two":              {audiences: []string{"edge", "x"}, status: yesTo("u", "x"), accepted: true},
		"another audience":                 {audiences: []string{"edge"}, status: yesTo("u", "https://kubernetes.default.svc")},
		"part of an audience":              {audiences: []string{"edge"}, status: yesTo("u", "edge2", "edg")},
		"no audience, though one is asked": {audiences: []string{"edge"}, status: yesTo("u")},
		"not accepted":                     {status: authenticationv1.TokenReviewStatus{Error: "[invalid bearer token]"}},
		"not accepted, no error":           {},
		"not accepted, with a user": {
			status: authenticationv1.TokenReviewStatus{User: authenticationv1.UserInfo{Username: "u"}, Audiences: []string{"edge"}},
		},
		"accepted with an error": {status: both, stricter: true},
	} {
		t.Run(name, func(t *testing.T) {
			var asked authenticationv1.TokenReviewSpec
			server := &tokenReviews{decide: func(spec authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
				asked = spec
				return test.status
			}}
			got, err := tokenReviewer(t, server, test.audiences...).Review(t.Context(), "abc")
			if asked.Token != "abc" || !slices.Equal(asked.Audiences, test.audiences) {
				t.Errorf("asked %+v", asked)
			}
			if (err == nil) != test.accepted || (err == nil) != (got != nil) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if err != nil && !isRefusal(err) {
				t.Errorf("%v is no refusal", err)
			}

			ctx := t.Context()
			if len(test.audiences) > 0 {
				ctx = authenticator.WithAudiences(ctx, test.audiences)
			}
			want, ok, _ := apiServersReview(t, server).AuthenticateToken(ctx, "abc")
			if test.stricter {
				ok = false
			}
			if ok != test.accepted {
				t.Fatalf("kube-apiserver: %v", ok)
			}
			if ok && !reflect.DeepEqual(got, want.User) {
				t.Errorf("got %+v, kube-apiserver %+v", got, want.User)
			}
		})
	}
}

// TestTokenReviewIsNotAsked checks that edge sends no token review for text that cannot be a token,
// or that would arrive at the API server as another token.
func TestTokenReviewIsNotAsked(t *testing.T) {
	server := &tokenReviews{decide: func(authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus { return yesTo("u") }}
	r := tokenReviewer(t, server)
	for name, token := range map[string]string{
		"nothing": "", "two words": "good bad", "tab": "a\tb", "line": "a\r\nX: y", "NUL": "a\x00", "not UTF-8": "a\xff", "not ASCII": "ä", "DEL": "a\x7f",
		"too long": strings.Repeat("a", MaxTokenBytes+1),
	} {
		if u, err := r.Review(t.Context(), token); u != nil || !isRefusal(err) {
			t.Errorf("%s: %v, %v", name, u, err)
		}
	}
	if n := server.asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
	if _, err := r.Review(t.Context(), strings.Repeat("a", MaxTokenBytes)); err != nil || server.asked.Load() != 1 {
		t.Errorf("the longest token: %v", err)
	}
}

// TestTokenReviewRemembers checks that accepted and refused tokens are cached, each for its own
// time (hitAge, missAge) and only for the same token.
func TestTokenReviewRemembers(t *testing.T) {
	var good atomic.Bool
	server := &tokenReviews{decide: func(authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
		if good.Load() {
			return yesTo("u")
		}
		return authenticationv1.TokenReviewStatus{}
	}}
	r := tokenReviewer(t, server)
	c := newClock()
	r.hits, r.misses = cache.NewLRUExpireCacheWithClock(maxHits, c), cache.NewLRUExpireCacheWithClock(maxMisses, c)
	ages := map[bool]time.Duration{true: hitAge, false: missAge}
	for _, now := range []bool{false, true, false} {
		good.Store(now)
		before := server.asked.Load()
		for range 3 {
			if _, err := r.Review(t.Context(), "abc"); (err == nil) != now {
				t.Errorf("good %v: %v", now, err)
			}
		}
		if asked := server.asked.Load() - before; asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		good.Store(!now)
		if _, err := r.Review(t.Context(), "abd"); (err == nil) == now {
			t.Errorf("another token: %v", err)
		}
		c.advance(ages[now] - time.Millisecond)
		if _, err := r.Review(t.Context(), "abc"); (err == nil) != now {
			t.Errorf("forgotten too early: %v", err)
		}
		c.advance(hitAge)
	}
}

// TestTokenReviewFails checks that a failed token review neither accepts nor refuses the token: the
// next request sends a new review. The Status of the failure shows whether the operator must act or
// the client should retry.
func TestTokenReviewFails(t *testing.T) {
	var code atomic.Int32
	server := &tokenReviews{decide: func(authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus { return yesTo("u") }}
	var logged logBuffer
	r := tokenReviewer(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if code.Load() == 0 {
			server.ServeHTTP(w, req)
			return
		}
		http.Error(w, "no\nnews of secret-token", int(code.Load()))
	}))
	r.log = slog.New(slog.NewTextHandler(&logged, nil))
	for answered, want := range map[int32]int32{401: 503, 403: 500, 400: 500, 404: 500, 429: 503, 500: 503, 502: 503, 503: 503, 504: 503} {
		code.Store(answered)
		for range 2 {
			u, err := r.Review(t.Context(), "secret-token")
			var failed *review.Error
			if u != nil || !errors.As(err, &failed) {
				t.Fatalf("%d: %v, %v", answered, u, err)
			}
			if text := err.Error() + failed.Status().Message; strings.Contains(text, "secret-token") || !strings.Contains(text, fmt.Sprint(answered)) {
				t.Errorf("%d: %s", answered, text)
			}
			status := failed.Status()
			if status.Code != want || (status.Details != nil) != (want == 503) {
				t.Errorf("%d: %+v", answered, status)
			}
		}
	}
	code.Store(0)
	if _, err := r.Review(t.Context(), "secret-token"); err != nil {
		t.Errorf("after failures: %v", err)
	}
	lines := logged.lines()
	if len(lines) != 2 || !strings.Contains(lines[0], "token reviews fail") || !strings.Contains(lines[1], "work again") {
		t.Errorf("logged %q", lines)
	}
	if strings.Contains(strings.Join(lines, ""), "secret-token") {
		t.Error("the token is in the log")
	}
}

func TestTokenReviewTimesOut(t *testing.T) {
	release := make(chan struct{})
	r := tokenReviewer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer close(release)
	r.timeout = 10 * time.Millisecond
	_, err := r.Review(t.Context(), "abc")
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, new(*review.Error)) {
		t.Errorf("%v", err)
	}
}
