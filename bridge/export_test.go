package bridge

import (
	"net/http"
	"time"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/upstream"
)

// SetTimes changes a session's waits for those that begin from now on.
func (h *Handler) SetTimes(keepalive, linger, open time.Duration) {
	h.times.Keepalive, h.times.Linger, h.times.Open = keepalive, linger, open
}

// SetAnswerTime changes how long a WebSocket client may take to answer a Close.
func (h *Handler) SetAnswerTime(answer time.Duration) { h.times.Answer = answer }

// SetForwardTimes changes the waits of port-forwards whose connections have
// upstream sessions of their own.
func (h *Handler) SetForwardTimes(holdBack, idle time.Duration) {
	h.times.HoldBack, h.times.Idle = holdBack, idle
}

// Draining says whether a Drain has begun and told the sessions.
func (h *Handler) Draining() bool { return h.sessions.Drained() }

// Running is the number of sessions.
func (h *Handler) Running() int { return h.sessions.Len() }

// Streams describes the sessions that there are.
func (h *Handler) Streams() (all []Stream) {
	for _, d := range h.sessions.List() {
		all = append(all, streamOf(d))
	}
	return all
}

// EndStream ends one of them.
func (h *Handler) EndStream(id string, cause Cause, why string) bool {
	return h.sessions.End(id, cause, why)
}

// Spares is how many connections wait to be used.
func (h *Handler) Spares() (n int) { return h.cluster.SpareConns() }

// MaxSpares is how many may.
const MaxSpares = upstream.MaxSpares

// SetSpareAge changes how long they do, before the first stream.
func (h *Handler) SetSpareAge(age time.Duration) { h.cluster.SetSpareAge(age) }

// PassOn gives upstream's refusal of an upgrade to a client.
func PassOn(w http.ResponseWriter, r *http.Request, resp *http.Response) { passOn(w, r, resp) }

// AcceptKey is RFC 6455 section 4.2.2's answer to a key.
func AcceptKey(key string) string { return negotiate.AcceptKey(key) }
