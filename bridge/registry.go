package bridge

import (
	"context"
	"net/http"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// registry knows every session from its admission to its end.
type registry struct {
	max int

	mu       sync.Mutex
	draining bool
	admitted int
	running  map[*session]struct{}
	none     chan struct{} // closed when draining and nothing is admitted
}

func newRegistry(max int) *registry {
	return &registry{max: max, running: map[*session]struct{}{}, none: make(chan struct{})}
}

// retryAfter is what a refused client is told to wait, in seconds.
const retryAfter = 5

// admit reserves a slot, or refuses with 503 or 429. release gives it back.
func (g *registry) admit() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		e := failure(ReasonDraining, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "edge: shutting down, try again")
		e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfter}
		return e
	}
	if g.admitted >= g.max {
		e := failure(ReasonLimit, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "edge: too many streams are open, try again later")
		e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfter}
		return e
	}
	g.admitted++
	return nil
}

func (g *registry) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admitted--
	if g.draining && g.admitted == 0 {
		close(g.none)
	}
}

// add enters a session that has its two legs; remove takes it out.
func (g *registry) add(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[s] = struct{}{}
	if g.draining {
		go s.shutdown()
	}
}

func (g *registry) remove(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, s)
}

func (g *registry) drain(ctx context.Context) {
	g.mu.Lock()
	if !g.draining {
		g.draining = true
		if g.admitted == 0 {
			close(g.none)
		}
	}
	running := g.list()
	g.mu.Unlock()

	for _, s := range running {
		go s.shutdown() // each may take a moment to say goodbye to its API server
	}
	select {
	case <-g.none:
		return
	case <-ctx.Done():
	}
	g.mu.Lock()
	running = g.list()
	g.mu.Unlock()
	for _, s := range running {
		s.abort(errShutdown)
	}
}

func (g *registry) list() []*session {
	all := make([]*session, 0, len(g.running))
	for s := range g.running {
		all = append(all, s)
	}
	return all
}
