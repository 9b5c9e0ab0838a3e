package bridge

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"

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
	// Metrics, if set, measures the requests and streams of the Handler, and of no other one.
	Metrics *Metrics
	// Tracing, if set, makes a span for each request.
	Tracing *Tracing
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

// observers returns an Observer that notifies all those of the configuration, or nil if there are
// none.
func (c Config) observers() Observer {
	var all []Observer
	if c.Observe != nil {
		all = append(all, c.Observe)
	}
	if c.Metrics != nil {
		all = append(all, c.Metrics)
	}
	if c.Tracing != nil {
		all = append(all, c.Tracing)
	}
	return Observers(all...)
}
