package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edge/e2e/testbed/cluster"
)

// The limits of the TokenReviews and SubjectAccessReviews that edge sends to the API server.
const (
	// same value as maxReviews in authn/tokenreview.go: largest number of token reviews in flight
	// at one time
	mostTokenReviews = 32
	// same value as maxWaitingReviews in authn/tokenreview.go: largest number of token reviews that
	// wait until edge may send them
	waitingReviews = 256
	// same value as maxReviews in impersonate/review.go: largest number of access reviews in flight
	// at one time
	mostAccessReviews = 64
	// same value as maxReviewsEach in impersonate/review.go: largest number of access reviews in
	// flight for one user
	mostOfOne = 16
)

// TestReviewFlood checks that thousands of requests with bad tokens or bad impersonations do not
// overload the API server, even while it does not answer reviews. Few reviews may be in flight at
// one time. edge must tell the clients of further requests to retry later, and must send equal
// reviews only once. edge must always serve requests that need no review.
func TestReviewFlood(t *testing.T) {
	t.Parallel()
	if err := sites[cluster.Old].cluster.GrantOptions(t.Context()); err != nil {
		t.Fatal(err)
	}
	var many [3 * mostAccessReviews / mostOfOne]string
	for i := range many {
		many[i] = minted(t, idp, map[string]any{"preferred_username": fmt.Sprintf("many-%d", i)})
	}
	for name, c := range map[string]struct {
		most int
		// number of requests that edge keeps waiting while the API server answers no review; edge
		// refuses all further requests
		accept int
		ask    func(a attacked, i int) (cluster.Access, http.Header)
		bad    int // status code that the client gets after the API server's review
	}{
		"tokens": {mostTokenReviews, mostTokenReviews + waitingReviews, func(a attacked, i int) (cluster.Access, http.Header) {
			return a.as(fmt.Sprintf("bad-token-%d", i)), nil
		}, http.StatusUnauthorized},
		"impersonations by one": {mostOfOne, mostOfOne, func(a attacked, i int) (cluster.Access, http.Header) {
			return a.as(tokens["alice"]), http.Header{"Impersonate-User": {fmt.Sprintf("user-%d", i)}}
		}, http.StatusForbidden},
		"impersonations by many": {mostAccessReviews, mostAccessReviews, func(a attacked, i int) (cluster.Access, http.Header) {
			return a.as(many[i%len(many)]), http.Header{"Impersonate-User": {fmt.Sprintf("user-%d", i)}}
		}, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heavy <- struct{}{}
			defer func() { <-heavy }()
			const requests, workers = 1000, 500
			// The test uses the old cluster, which lacks the feature ConstrainedImpersonation: so
			// edge sends an access review for each impersonation.
			a := attack(t, cluster.Old, "--token-passthrough")
			b := stand(t, a.as(tokens["alice"]))
			client := strangerOf(t, &tls.Config{RootCAs: roots(a.as(""))})
			var denied, turnedAway atomic.Int64
			ask := func(i int) {
				to, header := c.ask(a, i)
				switch got, err := codeOf(t.Context(), client, to, podsURI, header); {
				case err == nil && got == c.bad:
					denied.Add(1)
				case err == nil && (got == http.StatusTooManyRequests || got == http.StatusServiceUnavailable || got == http.StatusGatewayTimeout):
					turnedAway.Add(1)
				default:
					t.Errorf("request %d: %d, %v", i, got, err)
				}
			}

			// First part: the API server answers no review.
			release := a.recorder.HoldReviews()
			over := make(chan struct{})
			go func() {
				eachOf(requests, workers, ask)
				close(over)
			}()
			for turnedAway.Load() < requests-int64(c.accept) && t.Context().Err() == nil {
				b.await(t, 1)
			}
			if n := a.recorder.MostReviews(); n > c.most || n == 0 {
				t.Errorf("%d reviews in flight, want at most %d", n, c.most)
			}
			release()
			<-over
			if denied.Load()+turnedAway.Load() != requests || turnedAway.Load() == 0 {
				t.Errorf("%d denied and %d turned away of %d", denied.Load(), turnedAway.Load(), requests)
			}
			t.Logf("held: %d denied, %d turned away, %d reviews in all", denied.Load(), turnedAway.Load(), reviews(a))

			// Second part: the API server answers each review immediately.
			eachOf(requests/2, workers/2, func(i int) { ask(requests + i) })
			if n := a.recorder.MostReviews(); n > c.most {
				t.Errorf("%d reviews in flight at one time, want at most %d", n, c.most)
			}
			// Last part: the clients send the same request many times. edge may send each review of
			// this request once, and once more whenever the cached result has expired.
			a.recorder.Forget()
			began := time.Now()
			ask(3 * requests)
			each := reviews(a)
			eachOf(requests, workers/2, func(int) { ask(3 * requests) })
			// 5 s is the value of missAge in authn/tokenreview.go, the shortest time for which edge
			// caches the result of a review
			if n, most := reviews(a), each*(2+int(time.Since(began)/(5*time.Second))); n > most || each == 0 {
				t.Errorf("%d reviews of one question in %v, want at most %d", n, time.Since(began), most)
			}
			b.await(t, 10)
			b.stop()
			for _, head := range a.requests() {
				if !strings.Contains(head.URI, "limit=1") {
					t.Fatalf("reached the API server: %v", head)
				}
			}
			t.Logf("%d denied, %d turned away, %d requests of the bystander", denied.Load(), turnedAway.Load(), b.served.Load())
		})
	}
}

// reviews returns the number of reviews that have reached the API server.
func reviews(a attacked) (n int) {
	for _, head := range a.recorder.Heads() {
		if head.IsReview() {
			n++
		}
	}
	return n
}
