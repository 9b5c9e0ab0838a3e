package impersonate

import (
	"context"
	"edge/review"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// gauge replaces the API server. It answers reviews only after open is closed, and counts the
// reviews that wait.
type gauge struct {
	authorizationv1client.SubjectAccessReviewExpansion
	open      chan struct{}
	full      chan struct{} // closed when as many reviews wait as the test expects
	most      int64
	now, peak atomic.Int64
	all       atomic.Int64
	allow     func(authorizationv1.SubjectAccessReviewSpec) bool
}

func newGauge(most int64, allow func(authorizationv1.SubjectAccessReviewSpec) bool) *gauge {
	return &gauge{open: make(chan struct{}), full: make(chan struct{}), most: most, allow: allow}
}

func (g *gauge) Create(
	ctx context.Context, review *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions,
) (*authorizationv1.SubjectAccessReview, error) {
	g.all.Add(1)
	now := g.now.Add(1)
	defer g.now.Add(-1)
	for {
		peak := g.peak.Load()
		if now <= peak {
			break
		}
		if g.peak.CompareAndSwap(peak, now) {
			if now == g.most {
				close(g.full)
			}
			break
		}
	}
	select {
	case <-g.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	review.Status.Allowed = g.allow(review.Spec)
	return review, nil
}

func never(authorizationv1.SubjectAccessReviewSpec) bool { return false }

// TestImpersonationFlood (row ReviewFlood of the attack corpus in docs/security.md, for
// impersonation) sends a thousand different forbidden impersonations. At most 64 reviews run at the
// API server. A request that cannot start its review is answered with 429 and Retry-After. At the
// end edge stores no state about these requests.
func TestImpersonationFlood(t *testing.T) {
	const attackers, each = 50, 20
	g := newGauge(maxReviews, never)
	r := NewReviewer(g)
	r.slots.timeout = 20 * time.Millisecond
	p := policy(t, PolicyConfig{Ask: r})
	var denied, turnedAway atomic.Int64
	impersonate := func(a, n int) error {
		h := http.Header{"Impersonate-User": {fmt.Sprint("user", n)}, "Impersonate-Group": make([]string, 20)}
		for i := range h["Impersonate-Group"] {
			h["Impersonate-Group"][i] = fmt.Sprint("group", n, "-", i)
		}
		_, err := p.Identity(t.Context(), &user.DefaultInfo{Name: fmt.Sprint("attacker", a)}, Request{Header: h})
		return err
	}
	var flood sync.WaitGroup
	for a := range attackers {
		flood.Go(func() {
			for n := range each {
				err := impersonate(a, a*each+n)
				var failed *review.Error
				switch {
				case errors.Is(err, ErrDenied):
					denied.Add(1)
				case errors.As(err, &failed) && failed.Status().Code == 429 && failed.Status().Details.RetryAfterSeconds == 1:
					turnedAway.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	<-g.full
	// Wait until one request was answered with 429 while 64 reviews, the maximum, are running.
	for turnedAway.Load() == 0 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	close(g.open)
	flood.Wait()
	if peak := g.peak.Load(); peak != maxReviews {
		t.Errorf("%d reviews at the same time, want %d", peak, maxReviews)
	}
	if all := denied.Load() + turnedAway.Load(); all != attackers*each {
		t.Errorf("%d answers", all)
	}
	t.Logf("%d denied, %d turned away, %d reviews", denied.Load(), turnedAway.Load(), g.all.Load())
	if all := g.all.Load(); all > attackers*each*21/2 {
		t.Errorf("%d reviews: a request goes on after its first refusal", all)
	}
	free := r.slots.all.TryAcquire(maxReviews)
	if !free || len(r.calls) != 0 || len(r.slots.users) != 0 || len(r.answers.Keys()) > maxAnswers {
		t.Fatalf("left behind: all slots are free: %v, %d questions, %d users, %d answers", free, len(r.calls), len(r.slots.users), len(r.answers.Keys()))
	}
	r.slots.all.Release(maxReviews)
	if err := impersonate(0, attackers*each); !errors.Is(err, ErrDenied) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestOneUsersFlood checks that a flood of one user's requests runs at most 16 of the 64 reviews
// that may run at one time. The other reviews remain for other users.
func TestOneUsersFlood(t *testing.T) {
	g := newGauge(maxReviewsEach, never)
	r := NewReviewer(g)
	r.slots.timeout = 20 * time.Millisecond
	p := policy(t, PolicyConfig{Ask: r})
	var flood sync.WaitGroup
	defer flood.Wait()
	defer close(g.open)
	for n := range 5 * maxReviewsEach {
		flood.Go(func() {
			h := http.Header{"Impersonate-User": {fmt.Sprint("user", n)}}
			if _, err := p.Identity(t.Context(), janeUser, Request{Header: h}); err == nil {
				t.Error("allowed")
			}
		})
	}
	<-g.full
	for { // wait until only the flood's own 16 reviews are running, and all further requests of this user were answered
		r.slots.mu.Lock()
		waiting := r.slots.users[janeUser.Name].refs
		r.slots.mu.Unlock()
		if waiting == maxReviewsEach {
			break // all further requests of this user were answered with 429
		}
		time.Sleep(time.Millisecond)
	}
	if peak := g.peak.Load(); peak != maxReviewsEach {
		t.Errorf("%d reviews about one user at the same time, want %d", peak, maxReviewsEach)
	}
	flood.Go(func() {
		_, _ = p.Identity(t.Context(), &user.DefaultInfo{Name: "bob"}, Request{Header: http.Header{"Impersonate-User": {"x"}}})
	})
	for g.now.Load() != maxReviewsEach+1 {
		time.Sleep(time.Millisecond)
	}
}

// TestImpersonationIsReviewedInParallel checks that an impersonation with the largest number of
// values runs 8 reviews at the same time. The error is about the first value that is refused, in
// the order of the request.
func TestImpersonationIsReviewedInParallel(t *testing.T) {
	groups := make([]string, maxRequestedValues)
	for i := range groups {
		groups[i] = fmt.Sprint("group", i)
	}
	h := http.Header{"Impersonate-User": {"bob"}, "Impersonate-Group": groups}
	for name, test := range map[string]struct {
		allow   func(authorizationv1.SubjectAccessReviewSpec) bool
		message string
	}{
		"all allowed": {func(authorizationv1.SubjectAccessReviewSpec) bool { return true }, ""},
		"two refused": {func(spec authorizationv1.SubjectAccessReviewSpec) bool {
			name := spec.ResourceAttributes.Name
			return name != "group3" && name != "group5"
		}, "group 'group3'"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGauge(maxParallel, test.allow)
			p := policy(t, PolicyConfig{Ask: NewReviewer(g)})
			answer := make(chan error)
			go func() {
				_, err := p.Identity(t.Context(), janeUser, Request{Header: h})
				answer <- err
			}()
			<-g.full
			close(g.open)
			err := <-answer
			if g.peak.Load() != maxParallel || g.all.Load() > 1+maxRequestedValues {
				t.Errorf("%d reviews, %d at the same time", g.all.Load(), g.peak.Load())
			}
			if test.message == "" && err != nil || test.message != "" && (err == nil || !strings.Contains(err.Error(), test.message)) {
				t.Error(err)
			}
		})
	}
}

// TestImpersonationReviewsEnd checks that all reviews of one impersonation end when the request's
// context ends.
func TestImpersonationReviewsEnd(t *testing.T) {
	g := newGauge(1, never) // never is never closed, so no review gets an answer
	p := policy(t, PolicyConfig{Ask: NewReviewer(g)})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	h := http.Header{"Impersonate-User": {"bob"}, "Impersonate-Group": {"a", "b", "c"}}
	_, err := p.Identity(ctx, janeUser, Request{Header: h})
	if codeOf(err) != http.StatusServiceUnavailable {
		t.Error(err)
	}
}

// TestLastModesAreBounded checks that the cache of the modes that last worked for each requestor is
// bounded. A mode is a kind of right to impersonate.
func TestLastModesAreBounded(t *testing.T) {
	p := policy(t, PolicyConfig{Ask: &asker{allow: true}, Constrained: func(context.Context) bool { return true }})
	for n := range maxLastModes + 200 {
		a := arrival{requestor: &user.DefaultInfo{Name: fmt.Sprint(n)}, header: http.Header{"Impersonate-User": {"bob"}}, info: version}
		if _, err := a.atEdge(p); err != nil {
			t.Fatal(err)
		}
	}
	if kept := len(p.lastModes.Keys()); kept != maxLastModes {
		t.Errorf("%d", kept)
	}
}
