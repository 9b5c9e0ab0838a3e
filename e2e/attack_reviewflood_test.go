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

// The limits of edge's reviews at the API server.
const (
	mostTokenReviews  = 32  // maxReviews in authn/tokenreview.go: in flight at one time
	waitingReviews    = 256 // maxWaitingReviews in authn/tokenreview.go: waiting to be sent
	mostAccessReviews = 64  // maxReviews in impersonate/review.go: in flight at one time
	mostOfOne         = 16  // maxReviewsEach in impersonate/review.go: in flight for one user
)

// TestReviewFlood checks that thousands of bad tokens or bad impersonations do not overload the API
// server, even while it does not answer reviews. Few reviews are in flight at one time, further
// requests are told to retry later, and equal reviews are sent once. Requests that need no review
// must be served all the time.
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
		most   int
		accept int // how many requests wait while no review is answered; edge turns away the others
		ask    func(a attacked, i int) (cluster.Access, http.Header)
		bad    int // status code after the review
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
			// Without ConstrainedImpersonation, as in the old cluster, each impersonation begins
			// with a review of its own.
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

			// First, the API server answers no review.
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

			// Then, the API server answers all reviews at once.
			eachOf(requests/2, workers/2, func(i int) { ask(requests + i) })
			if n := a.recorder.MostReviews(); n > c.most {
				t.Errorf("%d reviews in flight at one time, want at most %d", n, c.most)
			}
			// Last, the same request many times: one review for each different question, and one
			// more when the cached answer has expired.
			a.recorder.Forget()
			began := time.Now()
			ask(3 * requests)
			each := reviews(a)
			eachOf(requests, workers/2, func(int) { ask(3 * requests) })
			if n, most := reviews(a), each*(2+int(time.Since(began)/(5*time.Second))); n > most || each == 0 { // missAge, the shorter of the two cache lifetimes
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
