package session

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/status"
)

// retryAfter is the value of Retry-After, in seconds, for a client whose stream edge refuses to
// admit.
const retryAfter = 5

// Admit reserves a slot for a stream, or returns an error with status 503 or 429. Release frees the
// slot.
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
