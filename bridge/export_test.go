package bridge

import (
	"net/http"
	"time"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/session"
	"edge/bridge/internal/upstream"
)

// SetTimes changes the keepalive interval, linger time and open timeout of sessions that begin
// later.
func (h *Handler) SetTimes(keepalive, linger, open time.Duration) {
	h.changeTimes(func(t *session.Times) { t.Keepalive, t.Linger, t.Open = keepalive, linger, open })
}

// changeTimes changes the times of sessions that begin later. Those that run keep theirs, which
// their goroutines read.
func (h *Handler) changeTimes(change func(*session.Times)) {
	times := *h.times
	change(&times)
	h.times = &times
}

// SetAcceptTime changes for how long edge waits until the API server, over WebSocket, has opened the
// container runtime's streams.
func (h *Handler) SetAcceptTime(accept time.Duration) {
	h.changeTimes(func(t *session.Times) { t.Accept = accept })
}

// SetAnswerTime changes how long edge waits for a WebSocket client's answer to a Close, and for a
// client that has not answered the ping before the Close.
func (h *Handler) SetAnswerTime(answer, catchUp time.Duration) {
	h.changeTimes(func(t *session.Times) { t.Answer, t.CatchUp = answer, catchUp })
}

// SetForwardTimes changes two timeouts of a port-forward with one upstream session per connection:
// the hold-back time of a connection that blocks others, and the idle time of a session without
// connections.
func (h *Handler) SetForwardTimes(holdBack, idle time.Duration) {
	h.changeTimes(func(t *session.Times) { t.HoldBack, t.Idle = holdBack, idle })
}

// Draining reports whether Drain has begun and has told all sessions to end.
func (h *Handler) Draining() bool { return h.sessions.Drained() }

// Running returns the number of running sessions.
func (h *Handler) Running() int { return h.sessions.Len() }

// Streams describes all current sessions.
func (h *Handler) Streams() (all []Stream) {
	for _, d := range h.sessions.List() {
		all = append(all, streamOf(d))
	}
	return all
}

// EndStream ends the session with this id. It reports whether the session existed.
func (h *Handler) EndStream(id string, cause Cause, why string) bool {
	return h.sessions.End(id, cause, why)
}

// Spares returns the number of spare connections: connections to the API server that edge has
// opened and that carry no request yet.
func (h *Handler) Spares() (n int) { return h.cluster.SpareConns() }

// MaxSpares is the maximum number of spare connections to the API server that edge keeps open for
// later streams.
const MaxSpares = upstream.MaxSpares

// SetSpareAge changes how long edge keeps a spare connection to the API server. Call it before the
// first stream.
func (h *Handler) SetSpareAge(age time.Duration) { h.cluster.SetSpareAge(age) }

// PassOn copies the API server's refusal of an upgrade to the client.
func PassOn(w http.ResponseWriter, r *http.Request, resp *http.Response) { passOn(w, r, resp) }

// AcceptKey returns the Sec-WebSocket-Accept value for a Sec-WebSocket-Key (RFC 6455 section
// 4.2.2).
func AcceptKey(key string) string { return negotiate.AcceptKey(key) }

// WriterOf returns the writer that a request's answer is written to: w, wrapped as ServeHTTP does it,
// and by the writer for answers that have no end.
func (h *Handler) WriterOf(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	w, _ = h.cors.serve(w, r)
	w = begin(h.observe, r).recordAnswer(w)
	_, w = waitUnbuffered(h.impersonating, w)
	return w
}
