package session

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/status"
)

// Registry knows every session, by its ID, from its admission to its end.
type Registry struct {
	max        int
	idlePoller leg.IdlePoller // waits for the sessions' connections

	mu       sync.Mutex
	draining bool
	admitted int
	running  map[string]*session
	none     chan struct{} // closed when draining and nothing is admitted
}

func NewRegistry(max int) *Registry {
	return &Registry{max: max, running: map[string]*session{}, none: make(chan struct{})}
}

// retryAfter is what a refused client is told to wait, in seconds.
const retryAfter = 5

// Admit reserves a slot for a stream, or refuses it with 503 or 429. Release gives the slot back.
func (g *Registry) Admit(Description) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		e := status.New(status.ReasonDraining, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "edge: shutting down, try again")
		e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfter}
		return e
	}
	if g.admitted >= g.max {
		e := status.New(status.ReasonLimit, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "edge: too many streams are open, try again later")
		e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfter}
		return e
	}
	g.admitted++
	return nil
}

func (g *Registry) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admitted--
	if g.draining && g.admitted == 0 {
		close(g.none)
	}
}

// add enters a session that has its two legs; remove takes it out.
func (g *Registry) add(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[s.ID] = s
	if g.draining {
		go s.stop(errShutdown)
	}
}

func (g *Registry) remove(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, s.ID)
}

// List describes all running sessions.
func (g *Registry) List() []Description {
	var all []Description
	for _, s := range g.sessions() {
		all = append(all, s.Description)
	}
	return all
}

// End ends a session, of which its client is told why, and tells whether there is one of that ID.
func (g *Registry) End(id string, cause Cause, why string) bool {
	g.mu.Lock()
	s := g.running[id]
	g.mu.Unlock()
	if s == nil {
		return false
	}
	s.stop(&stopError{cause, why})
	return true
}

// Drain lets no more streams come, ends those that there are, and waits for them, at most until ctx ends; then it cuts
// what is left.
func (g *Registry) Drain(ctx context.Context) {
	g.mu.Lock()
	if !g.draining {
		g.draining = true
		if g.admitted == 0 {
			close(g.none)
		}
	}
	g.mu.Unlock()

	for _, s := range g.sessions() {
		go s.stop(errShutdown) // each may take a moment to say goodbye to its API server
	}
	select {
	case <-g.none:
		return
	case <-ctx.Done():
	}
	for _, s := range g.sessions() {
		s.abort(errShutdown)
	}
}

// Len is how many there are.
func (g *Registry) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.running)
}

// Drained tells whether a drain has begun, and has told all sessions.
func (g *Registry) Drained() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.running {
		if s.cause() == nil {
			return false
		}
	}
	return g.draining
}

// Close gives up what is kept for idle sessions. They go on.
func (g *Registry) Close() { g.idlePoller.Close() }

func (g *Registry) sessions() []*session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.running))
}
