package authn

import (
	"context"
	"edge/review"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"

	"edge/internal/testkit"
)

// TestTokenReviewIsShared checks that concurrent reviews of one token are sent as one, and that
// this review continues after its first caller has left.
func TestTokenReviewIsShared(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	server := &tokenReviews{decide: func(authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
		close(arrived) // panics if a second review arrives
		<-release
		return yesTo("u")
	}}
	r := tokenReviewer(t, server)
	first, leave := context.WithCancel(t.Context())
	leave()
	const others = 100
	answers := make(chan error, 1+others)
	review := func(ctx context.Context) { _, err := r.Review(ctx, "abc"); answers <- err }
	go review(first)
	<-arrived
	for range others {
		go review(t.Context())
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

// TestTokenReviewFlood (row ReviewFlood of the attack corpus in docs/security.md) sends hundreds of
// different bad tokens. The API server receives maxReviews reviews at one time, and
// maxWaitingReviews reviews wait. A request that needs a further review is answered with 429. A
// cached token is accepted meanwhile.
func TestTokenReviewFlood(t *testing.T) {
	var underWay, most atomic.Int64
	release := make(chan struct{})
	server := &tokenReviews{decide: func(spec authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
		if spec.Token == "good" {
			return yesTo("u")
		}
		most.Store(max(most.Load(), underWay.Add(1)))
		<-release
		underWay.Add(-1)
		return authenticationv1.TokenReviewStatus{}
	}}
	r := tokenReviewer(t, server)
	if _, err := r.Review(t.Context(), "good"); err != nil {
		t.Fatal(err)
	}
	const flood = maxReviews + maxWaitingReviews
	answers := make(chan error, flood)
	for n := range flood {
		go func() { _, err := r.Review(t.Context(), fmt.Sprint("bad", n)); answers <- err }()
	}
	testkit.WaitFor(t, "the flood", func() bool { return underWay.Load() == maxReviews && r.waiting.Load() == maxWaitingReviews })

	var busy *review.Error
	if _, err := r.Review(t.Context(), "late"); !errors.As(err, &busy) || !apierrors.IsTooManyRequests(&apierrors.StatusError{ErrStatus: busy.Status()}) ||
		busy.Status().Details.RetryAfterSeconds == 0 {
		t.Errorf("one too many: %v", err)
	}
	if _, err := r.Review(t.Context(), "good"); err != nil {
		t.Errorf("a known token: %v", err)
	}
	close(release)
	for range flood {
		if err := <-answers; !isRefusal(err) {
			t.Error(err)
		}
	}
	if n := most.Load(); n > maxReviews {
		t.Errorf("%d reviews at once", n)
	}
	if n := r.waiting.Load(); n != 0 || len(r.turns) != 0 {
		t.Errorf("%d still wait, %d turns are taken", n, len(r.turns))
	}
}

// TestTokenReviewsAreBounded sends thousands of different bad tokens, and checks that the caches
// stay bounded and that bad tokens evict no good one.
func TestTokenReviewsAreBounded(t *testing.T) {
	server := &tokenReviews{decide: func(spec authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
		switch kind, _, _ := strings.Cut(spec.Token, "-"); kind {
		case "good":
			return yesTo("u")
		case "wide":
			return yesTo(strings.Repeat("u", maxHitBytes+1))
		}
		return authenticationv1.TokenReviewStatus{}
	}}
	// Inside synctest no time passes, so that no cached entry expires on a slow machine.
	synctest.Test(t, func(t *testing.T) { reviewsAreBounded(t, server) })
}

// handled is an http.RoundTripper that calls an http.Handler directly, without a network.
type handled struct{ http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func reviewsAreBounded(t *testing.T, server *tokenReviews) {
	client, err := authenticationv1client.NewForConfigAndClient(&rest.Config{Host: "http://api", QPS: -1}, &http.Client{Transport: handled{server}})
	if err != nil {
		t.Fatal(err)
	}
	r := NewTokenReviewer(client.TokenReviews(), nil, slog.New(slog.DiscardHandler))
	review := func(token string) { _, _ = r.Review(t.Context(), token) }
	review("good-0")
	for n := range maxMisses + 100 {
		review(fmt.Sprint("bad-", n))
	}
	before := server.asked.Load()
	if review("good-0"); server.asked.Load() != before {
		t.Error("bad tokens made a good one forgotten")
	}
	for n := range maxHits + 100 {
		review(fmt.Sprint("good-", n))
	}
	review("wide-0")
	for name, of := range map[string]struct {
		kept *cache.LRUExpireCache
		max  int
	}{"hits": {r.hits, maxHits}, "misses": {r.misses, maxMisses}} {
		if kept := len(of.kept.Keys()); kept > of.max {
			t.Errorf("%d %s are kept", kept, name)
		}
	}
	before = server.asked.Load()
	if review("wide-0"); server.asked.Load() != before+1 {
		t.Error("a very wide user is remembered")
	}
}

// TestSizeOf checks that sizeOf counts all texts of a user: name, UID, groups and extras.
func TestSizeOf(t *testing.T) {
	u := &user.DefaultInfo{Name: "12", UID: "345", Groups: []string{"6", "78"}, Extra: map[string][]string{"9": {"0", "1"}}}
	if n := sizeOf(u); n != 11 {
		t.Errorf("%d bytes of %+v", n, u)
	}
}
