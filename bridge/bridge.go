package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"edge/impersonate"
)

// Config is what a Handler needs; New checks it.
type Config struct {
	// Upstream is the API server with edge's own credential. Its Timeout bounds the
	// wait for a response's headers; 0 means no bound (upgrades: 60 s).
	Upstream *rest.Config
	// Identify says as whom a request goes upstream. It takes the credential off
	// the request. An error that is an APIStatus is the response; any other is 500.
	Identify func(*http.Request) (impersonate.Identity, error)
	// Review asks whether an identity may do something; nil means it may. It is
	// asked for create where edge has a stream go upstream as a GET. See
	// impersonate.Reviewer.
	Review func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error
	// Streaming is what edge speaks to the API server on streams; "" means auto.
	Streaming Streaming
	// AllowedOrigins are those of the web pages, beside pages of edge's own host,
	// that may open WebSockets: https://console.example.com, https://*.example.com.
	AllowedOrigins []string
	// DisableCompression asks the API server for uncompressed bodies.
	DisableCompression bool
	// OnLost, if set, is called when a stream has ended because upstream was lost.
	OnLost func()
	// MaxSessions bounds the streams at one time; 0 means DefaultMaxSessions.
	MaxSessions int
	// Log gets one line per session and those of failures. nil: slog.Default.
	Log *slog.Logger
}

// DefaultMaxSessions is MaxSessions where nothing else is known. cmd/edge derives
// its own from the limit of open files: a stream has two connections.
const DefaultMaxSessions = 8192

// Handler carries authenticated requests to the API server: plain ones over
// HTTP/2, streams through the relay. Make it with New.
type Handler struct {
	identify func(*http.Request) (impersonate.Identity, error)
	up       *upstream
	plain    http.Handler
	sessions *registry
	log      *slog.Logger
	times    times

	review    func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error
	streaming Streaming
	origins   origins
	learned   *learned
	onLost    func()
}

// New makes a Handler, or says what is wrong with the configuration.
func New(cfg Config) (*Handler, error) {
	if cfg.Upstream == nil || cfg.Identify == nil || cfg.Review == nil {
		return nil, errors.New("bridge: Config needs Upstream, Identify and Review")
	}
	switch cfg.Streaming {
	case "":
		cfg.Streaming = StreamingAuto
	case StreamingAuto, StreamingWebSocket, StreamingSPDY, StreamingWebSocketFirst:
	default:
		return nil, fmt.Errorf("bridge: Streaming %q is none of auto, websocket, spdy and websocket-first", cfg.Streaming)
	}
	origins, err := parseOrigins(cfg.AllowedOrigins)
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
	up, err := newUpstream(cfg.Upstream)
	if err != nil {
		return nil, err
	}
	return &Handler{
		identify: cfg.Identify,
		up:       up,
		plain:    newPlain(up, cfg.DisableCompression, cfg.Log),
		sessions: newRegistry(cfg.MaxSessions),
		log:      cfg.Log,
		times:    defaultTimes,

		review:    cfg.Review,
		streaming: cfg.Streaming,
		origins:   origins,
		learned:   newLearned(),
		onLost:    cfg.OnLost,
	}, nil
}

// ServeHTTP is one request's way: identity, then stream or plain.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := h.identify(r)
	if err != nil {
		writeStatus(w, r, err)
		return
	}
	if err := checkPath(r.URL); err != nil {
		writeStatus(w, r, err)
		return
	}
	if isUpgrade(r.Header) {
		h.serveUpgrade(w, r, id)
		return
	}
	if err := outbound(r.Header, r.RemoteAddr, id); err != nil {
		writeStatus(w, r, err)
		return
	}
	h.plain.ServeHTTP(w, r)
}

// Drain refuses new streams, ends those that run with a Status that says so,
// and waits for them, at most until ctx ends; then it cuts what is left.
func (h *Handler) Drain(ctx context.Context) { h.sessions.drain(ctx) }

// Close drops idle connections to the API server.
func (h *Handler) Close() { h.up.close() }

// outbound makes the header of a client's request the one that goes upstream:
// nothing hop by hop, no credential and no claim of the client's about who or
// where it is, and edge's identity for it last. Every path goes through here.
func outbound(h http.Header, remoteAddr string, id impersonate.Identity) error {
	if err := impersonate.Rewrite(h, id); err != nil {
		return failure(http.StatusForbidden, metav1.StatusReasonForbidden, err.Error())
	}
	for name := range h {
		if isClaim(name) {
			delete(h, name)
		}
	}
	if host, _, err := net.SplitHostPort(remoteAddr); err == nil && !id.IsSelf() { // whose address upstream sees itself
		h["X-Forwarded-For"] = []string{host}
	}
	return nil
}

// isClaim tells whether a header is a client's word about who or where it is,
// which the API server might take for a front proxy's: X-Remote-User and its like
// make a requestor, X-Real-Ip and X-Forwarded-For an address in the audit log.
// "_" is "-" to some servers.
func isClaim(name string) bool {
	switch {
	case len(name) < len("Forwarded"):
		return false
	case name[0] != 'F' && name[0] != 'f' && name[0] != 'X' && name[0] != 'x': // most are neither
		return false
	}
	switch name = strings.ReplaceAll(strings.ToLower(name), "_", "-"); name {
	case "forwarded", "x-real-ip":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "x-remote-")
}
