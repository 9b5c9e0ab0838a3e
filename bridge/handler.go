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

// Config is what a Handler needs; New checks it.
type Config struct {
	// Upstream is the API server with edge's own credential. Its Timeout bounds the
	// wait for a response's headers; 0 means no bound (upgrades: 60 s).
	Upstream *rest.Config
	// Credential, if set, is edge's own, in place of Upstream, and judges what is
	// answered with 401. nil: each 401 passes, as where the credential is the client's.
	Credential *upstream.Credential
	// Identify says as whom a request goes upstream. It takes the credential off
	// the request. An error that is an APIStatus is the response; any other is 500.
	Identify func(*http.Request) (impersonate.Identity, error)
	// Review asks whether an identity may do something; nil means it may. It is
	// asked for create where edge has a stream go upstream as a GET. See
	// impersonate.Reviewer.
	Review func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error
	// Streaming is what edge speaks to the API server on streams; "" means auto.
	Streaming upstream.Streaming
	// AllowedOrigins are those of the web pages, beside pages of edge's own host,
	// that may open WebSockets, and write, where Identity.Bearer is not set:
	// https://console.example.com, https://*.example.com.
	AllowedOrigins []string
	// CORSAllowedOrigins are regular expressions, by kube-apiserver's rules: pages of
	// origins that one matches may read edge's answers. Empty: nothing is done about it.
	CORSAllowedOrigins []string
	// DisableCompression asks the API server for uncompressed bodies.
	DisableCompression bool
	// TrustedProxies are the networks of the load balancers before edge, whose
	// X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Observe is told about each request; nil: nobody is.
	Observe Observer
	// OnLost, if set, is called when a stream has ended because upstream was lost.
	OnLost func()
	// MaxSessions bounds the streams at one time; 0 means DefaultMaxSessions.
	MaxSessions int
	// Log gets two lines per session, at its begin and at its end, and those of failures. nil: slog.Default.
	Log *slog.Logger
}

// DefaultMaxSessions is MaxSessions where nothing else is known. cmd/edge derives
// its own from the limit of open files: a stream has two connections.
const DefaultMaxSessions = 8192

// Handler carries authenticated requests to the API server: plain ones over
// HTTP/2, streams through the relay. Make it with New.
type Handler struct {
	identify      func(*http.Request) (impersonate.Identity, error)
	cluster       *upstream.Cluster
	impersonating *httputil.ReverseProxy // with edge's own credential
	sandboxed     *httputil.ReverseProxy // the same, for who sent none but what a browser adds
	passthrough   *httputil.ReverseProxy // with the sender's
	sessions      *session.Registry
	refusals      *refusalCache
	log           *slog.Logger
	times         session.Times

	origins origins
	cors    crossOrigin
	onLost  func()
	observe Observer
	trusted trustedProxies
}

// New makes a Handler, or says what is wrong with the configuration.
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

// Drain refuses new streams, ends those that run with a Status that says so,
// and waits for them, at most until ctx ends; then it cuts what is left.
func (h *Handler) Drain(ctx context.Context) { h.sessions.Drain(ctx) }

// Sessions is how many streams there are.
func (h *Handler) Sessions() int { return h.sessions.Len() }

// Close drops the connections to the API server that nobody uses, and keeps no spare
// ones from then on. Streams go on, see Drain.
func (h *Handler) Close() {
	h.cluster.Close()
	h.sessions.Close()
}
