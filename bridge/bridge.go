package bridge

import (
	"net/http"
	"net/http/httputil"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/status"
)

// ServeHTTP handles one request: it finds the client's address, identifies the client, checks the
// request, and then serves it as a stream or as a plain request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	growStack()
	w, answered := h.cors.serve(w, r)
	if answered {
		return
	}
	h.trusted.setForwardedFor(r)
	seen := begin(h.observe, r)
	w = seen.recordAnswer(w)
	defer seen.handlerReturned(r)

	id, err := h.identify(r)
	err = notIdentified(r, err)
	if vetoed := seen.identified(r, id, err); vetoed != nil && err == nil {
		err = status.Because(status.ReasonAudit, vetoed)
	}
	if err == nil {
		err = checkMethod(r.Method)
	}
	if err == nil {
		err = negotiate.CheckPath(r)
	}
	if err == nil {
		err = checkURLToken(r.URL)
	}
	if err == nil {
		err = h.origins.check(r, id)
	}
	if err != nil {
		status.Refuse(w, r, err)
		return
	}
	if negotiate.IsUpgrade(r) {
		h.serveUpgrade(w, r, id, seen)
		return
	}
	negotiate.IgnoreUpgrade(r.Header)
	if err := rewriteHeader(r.Header, id); err != nil {
		status.Refuse(w, r, err)
		return
	}
	var route *httputil.ReverseProxy
	switch {
	case id.IsTokenPassthrough():
		route = h.passthrough
	case id.Bearer:
		route = h.impersonating
	default:
		route = h.sandboxed
	}
	if t := negotiate.ParseTarget(r.URL); t.IsStream() {
		route = h.explainLostUpgrade(route, t, refusalKeyOf(id, r.URL))
	} else if negotiate.IsEndless(r) {
		route, w = waitUnbuffered(route, w)
	}
	route.ServeHTTP(w, r)
}
