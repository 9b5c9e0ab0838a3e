package session

import (
	"context"
	"maps"
	"slices"
	"sync"

	"edge/bridge/internal/leg"
)

// Registry stores every session by its ID, from its admission (Admit) to its end.
type Registry struct {
	max        int
	metrics    *Metrics       // nil: sessions are not measured
	idlePoller leg.IdlePoller // waits until bytes arrive on a connection of an idle session

	mu       sync.Mutex
	draining bool
	admitted int
	running  map[string]*session
	past     totals        // of the sessions that have ended
	none     chan struct{} // closed when a drain has begun and no admitted stream is left
}

// NewRegistry returns a registry for at most the given number of sessions. With m nil it measures
// nothing.
func NewRegistry(most int, m *Metrics) *Registry {
	g := &Registry{max: most, metrics: m, running: map[string]*session{}, none: make(chan struct{})}
	if m != nil {
		m.registry.Store(g)
	}
	return g
}

// add stores a session when its two connections exist. remove deletes it.
func (g *Registry) add(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[s.ID] = s
	if g.draining {
		s.stop(errShutdown)
	}
}

func (g *Registry) remove(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, s.ID)
	g.past.add(s)
}

// List returns the descriptions of all running sessions.
func (g *Registry) List() []Description {
	var all []Description
	for _, s := range g.sessions() {
		all = append(all, s.Description)
	}
	return all
}

// End ends the session with the given ID, and sends the text why to its client. It returns false if
// there is no such session.
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

// Drain refuses new streams, ends the running sessions, and waits for them until ctx is done. Then
// it cuts the remaining sessions.
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
		s.stop(errShutdown)
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

// Len returns the number of running sessions.
func (g *Registry) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.running)
}

// Drained reports whether Drain was called and every running session has been told to end: its
// cause is set.
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

// Close closes the IdlePoller, which waits for bytes of idle sessions. The sessions continue.
func (g *Registry) Close() { g.idlePoller.Close() }

func (g *Registry) sessions() []*session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.running))
}
