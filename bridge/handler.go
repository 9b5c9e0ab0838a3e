package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"

	"edge/bridge/internal/session"
	"edge/bridge/internal/status"
	"edge/bridge/internal/upstream"
	"edge/impersonate"
)

// Config configures a Handler, which forwards requests to one API server. New validates the Config.
type Config struct {
	// Upstream is the API server, with edge's own credential. Upstream.Timeout bounds the wait for
	// the header of a response; 0 means no bound (for upgrades: 60 s).
	Upstream *rest.Config
	// Credential, if set, replaces the credential in Upstream, and finds out whether a 401 of the
	// API server is about edge's own credential. If Credential is nil, every 401 is passed to the
	// client, which is right where the credential is the client's.
	Credential *upstream.Credential
	// Identify returns the identity under which a request goes upstream, and removes the client's
	// credential from the request. If it returns an APIStatus error, that is the response; any
	// other error becomes a 500.
	Identify func(*http.Request) (impersonate.Identity, error)
	// Review is required. It checks whether the identity has the permission that the attributes
	// describe, and returns nil if so. edge calls it for the verb create before it requests a
	// stream from the API server by GET, and after a 403 also for the verb get, because the API
	// server names that verb first. See impersonate.Reviewer.
	Review func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error
	// Streaming selects the protocol between edge and the API server for streams; "" means
	// StreamingAuto.
	Streaming upstream.Streaming
	// AllowedOrigins lists web origins such as https://console.example.com or
	// https://*.example.com. Pages of these origins may open WebSockets and send writes even if
	// Identity.Bearer is not set. Pages of edge's own host always may.
	AllowedOrigins []string
	// CORSAllowedOrigins are regular expressions, by kube-apiserver's rules. Pages whose origin
	// matches one of them may read edge's answers. Empty: edge does not handle CORS.
	CORSAllowedOrigins []string
	// DisableCompression requests uncompressed bodies from the API server.
	DisableCompression bool
	// TrustedProxies are the networks of the load balancers in front of edge. edge trusts the
	// X-Forwarded-For header that they send.
	TrustedProxies []netip.Prefix
	// Observe is notified of each request; nil means no observer.
	Observe Observer
	// OnLost, if set, is called after a stream has ended because the API server's side failed: its
	// connection broke, it did not answer keepalives, or it ended without a valid Status.
	OnLost func()
	// MaxSessions limits the streams that are open at the same time; 0 means DefaultMaxSessions.
	MaxSessions int
	// Log receives two lines per session, at its begin and at its end, and a line for each failure.
	// nil means slog.Default.
	Log *slog.Logger
}

// DefaultMaxSessions is the default of MaxSessions. cmd/edge instead computes its limit from the
// limit of open files, because each stream needs two connections.
const DefaultMaxSessions = 8192

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
	times       session.Times

	origins origins
	cors    crossOrigin
	onLost  func()
	observe Observer
	trusted trustedProxies
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
	})
	if err != nil {
		return nil, err
	}
	return &Handler{
		identify:      cfg.Identify,
		cluster:       up,
		impersonating: newPlain(up, up.Impersonating.Plain, cfg.DisableCompression, cfg.Log),
		sandboxed:     newPlain(up, sandboxing{up.Impersonating.Plain}, cfg.DisableCompression, cfg.Log),
		passthrough:   newPlain(up, up.Passthrough.Plain, cfg.DisableCompression, cfg.Log),
		sessions:      session.NewRegistry(cfg.MaxSessions),
		refusals:      newRefusalCache(),
		log:           cfg.Log,
		times:         session.DefaultTimes,

		origins: origins,
		cors:    cors,
		onLost:  cfg.OnLost,
		observe: cfg.Observe,
		trusted: cfg.TrustedProxies,
	}, nil
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
