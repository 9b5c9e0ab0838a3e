package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"

	authorizationv1 "k8s.io/api/authorization/v1"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/session"
	"edge/bridge/internal/status"
	"edge/bridge/internal/upstream"
	"edge/impersonate"
	"edge/internal/stack"
)

// Handler forwards authenticated requests to the API server: plain requests over HTTP/2, streams
// through the relay. Create it with New.
type Handler struct {
	identify      func(*http.Request) (impersonate.Identity, error)
	cluster       *upstream.Cluster
	impersonating *httputil.ReverseProxy // proxy for requests with edge's own credential
	// sandboxed works like the field impersonating, and also tells the browser to give the page in
	// the answer an opaque origin, so that it does not count as a page of edge (see sandboxing). It
	// serves clients whose only credential is one that a browser adds by itself.
	sandboxed   *httputil.ReverseProxy
	passthrough *httputil.ReverseProxy // proxy for requests with the client's own token
	sessions    *session.Registry
	refusals    *refusalCache
	log         *slog.Logger
	times       *session.Times

	origins origins
	cors    crossOrigin
	onLost  func()
	observe Observer
	trusted trustedProxies
	tracing *Tracing // nil: no spans
}

// New returns a Handler, or an error if cfg is invalid.
func New(cfg Config) (*Handler, error) {
	hasUpstream := cfg.Upstream != nil || cfg.Credential != nil
	if !hasUpstream || cfg.Identify == nil || cfg.Review == nil {
		return nil, errors.New("bridge: Config needs Upstream, Identify and Review")
	}
	origins, err := parseOrigins(cfg.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	cors, err := parseCrossOrigin(cfg.CORSAllowedOrigins)
	if err != nil {
		return nil, err
	}
	if cfg.MaxSessions < 0 {
		return nil, fmt.Errorf("bridge: MaxSessions %d is negative", cfg.MaxSessions)
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = DefaultMaxSessions
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	review := func(ctx context.Context, id impersonate.Identity, attrs authorizationv1.ResourceAttributes) error {
		return status.Because(status.ReasonReview, cfg.Review(ctx, id, attrs))
	}
	up, err := upstream.New(upstream.Config{
		Upstream: cfg.Upstream, Credential: cfg.Credential, Streaming: cfg.Streaming, Review: review, Log: cfg.Log,
		Metrics: cfg.Metrics.ofConnections(),
	})
	if err != nil {
		return nil, err
	}
	return &Handler{
		identify:      cfg.Identify,
		cluster:       up,
		impersonating: newPlain(up, cfg.Tracing.around(up.Impersonating.Plain), cfg.DisableCompression, cfg.Log),
		sandboxed:     newPlain(up, sandboxing{cfg.Tracing.around(up.Impersonating.Plain)}, cfg.DisableCompression, cfg.Log),
		passthrough:   newPlain(up, cfg.Tracing.around(up.Passthrough.Plain), cfg.DisableCompression, cfg.Log),
		sessions:      session.NewRegistry(cfg.MaxSessions, cfg.Metrics.ofSessions()),
		refusals:      newRefusalCache(),
		log:           cfg.Log,
		times:         new(session.DefaultTimes),

		origins: origins,
		cors:    cors,
		onLost:  cfg.OnLost,
		observe: cfg.observers(),
		trusted: cfg.TrustedProxies,
		tracing: cfg.Tracing,
	}, nil
}

// nestedCalls is the stack space that the calls of a request need, in bytes, with the token found in
// a cache.
const nestedCalls = 8 << 10

// ServeHTTP handles one request: it finds the client's address, identifies the client, checks the
// request, and then serves it as a stream or as a plain request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	stack.Grow[[nestedCalls]byte]()
	w, answered := h.cors.serve(w, r)
	if answered {
		return
	}
	setAuditID(r.Header)
	h.trusted.setForwardedFor(r)
	r = h.tracing.start(r, h.trusted)
	seen := begin(h.observe, r)
	w = seen.recordAnswer(w)
	defer seen.handlerReturned(r)

	id, err := h.identify(r)
	err = notIdentified(r, err)
	if vetoed := seen.identified(r, id, err); vetoed != nil && err == nil {
		err = status.Because(status.ReasonAudit, vetoed)
	}
	if err == nil {
		err = h.check(r, id)
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

// Drain refuses new streams and ends the open streams with a Status that gives the reason. It waits
// until all streams have ended or ctx is done. If ctx is done first, Drain cuts the remaining
// streams.
func (h *Handler) Drain(ctx context.Context) { h.sessions.Drain(ctx) }

// Sessions returns the number of open streams.
func (h *Handler) Sessions() int { return h.sessions.Len() }

// Close closes the idle connections to the API server, and from then on keeps no spare connections
// (open ones without a request). Open streams continue; Drain ends them.
func (h *Handler) Close() {
	h.cluster.Close()
	h.sessions.Close()
}
