package bridge

import (
	"net/http"
	"time"
)

// SetTimes changes a session's waits for those that begin from now on.
func (h *Handler) SetTimes(keepalive, linger, open time.Duration) {
	h.times.keepalive, h.times.linger, h.times.open = keepalive, linger, open
}

// SetAnswerTime changes how long a WebSocket client may take to answer a Close.
func (h *Handler) SetAnswerTime(answer time.Duration) { h.times.answer = answer }

// SetForwardTimes changes the waits of port-forwards whose connections have
// upstream sessions of their own.
func (h *Handler) SetForwardTimes(holdBack, idle time.Duration) {
	h.times.holdBack, h.times.idle = holdBack, idle
}

// Draining says whether a Drain has begun and told the sessions.
func (h *Handler) Draining() bool {
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	for s := range h.sessions.running {
		if s.cause() == nil {
			return false
		}
	}
	return h.sessions.draining
}

// Running is the number of sessions.
func (h *Handler) Running() int {
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	return len(h.sessions.running)
}

// Spares is how many connections wait to be used.
func (h *Handler) Spares() (n int) {
	for _, s := range []*spares{h.up.edges.spares, h.up.owns.spares} {
		if s != nil {
			s.mu.Lock()
			n += len(s.ready)
			s.mu.Unlock()
		}
	}
	return n
}

// MostSpares is how many may.
const MostSpares = mostSpares

// SetSpareAge changes how long they do, before the first stream.
func (h *Handler) SetSpareAge(age time.Duration) { h.up.edges.spares.age = age }

// PassOn gives upstream's refusal of an upgrade to a client.
func PassOn(w http.ResponseWriter, r *http.Request, resp *http.Response) { passOn(w, r, resp) }

// AcceptKey is RFC 6455 section 4.2.2's answer to a key.
func AcceptKey(key string) string { return acceptKey(key) }
