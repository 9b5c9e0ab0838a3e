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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

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
	Credential *Credential
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
	identify func(*http.Request) (impersonate.Identity, error)
	up       *cluster
	plain    *httputil.ReverseProxy // with edge's own credential
	ambient  *httputil.ReverseProxy // the same, for who sent none but what a browser adds
	owned    *httputil.ReverseProxy // with the sender's
	sessions *registry
	idlers   idlePoller // waits for their connections
	refusals *refusals
	log      *slog.Logger
	times    times

	review    func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error
	streaming Streaming
	origins   origins
	cors      crossOrigin
	learned   *learned
	onLost    func()
	observe   Observer
	trusted   trustedProxies
}

// New makes a Handler, or says what is wrong with the configuration.
func New(cfg Config) (*Handler, error) {
	if cfg.Credential != nil {
		cfg.Upstream = cfg.Credential.config
	}
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
	doubt := new(upstream.Doubt)
	if cfg.Credential != nil {
		doubt = &cfg.Credential.doubt
	}
	up, err := newCluster(cfg.Upstream, doubt)
	if err != nil {
		return nil, err
	}
	if cfg.Credential != nil {
		if err := cfg.Credential.judges(&up.edges); err != nil {
			return nil, err
		}
	}
	review := func(ctx context.Context, id impersonate.Identity, attrs authorizationv1.ResourceAttributes) error {
		return because(ReasonReview, cfg.Review(ctx, id, attrs))
	}
	return &Handler{
		identify: cfg.Identify,
		up:       up,
		plain:    newPlain(up, up.edges.plain, cfg.DisableCompression, cfg.Log),
		ambient:  newPlain(up, sandboxing{up.edges.plain}, cfg.DisableCompression, cfg.Log),
		owned:    newPlain(up, up.owns.plain, cfg.DisableCompression, cfg.Log),
		sessions: newRegistry(cfg.MaxSessions),
		refusals: newRefusals(),
		log:      cfg.Log,
		times:    defaultTimes,

		review:    review,
		streaming: cfg.Streaming,
		origins:   origins,
		cors:      cors,
		learned:   newLearned(),
		onLost:    cfg.OnLost,
		observe:   cfg.Observe,
		trusted:   cfg.TrustedProxies,
	}, nil
}

// ServeHTTP is one request's way: where from, who, then stream or plain.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	growStack()
	w, answered := h.cors.serve(w, r)
	if answered {
		return
	}
	h.trusted.locate(r)
	seen := h.begin(r)
	w = seen.watch(w)
	defer seen.returned(r)

	id, err := h.identify(r)
	err = notIdentified(r, err)
	if vetoed := seen.identified(r, id, err); vetoed != nil && err == nil {
		err = because(ReasonAudit, vetoed)
	}
	if err == nil {
		err = checkMethod(r.Method)
	}
	if err == nil {
		err = checkPath(r)
	}
	if err == nil {
		err = checkURLToken(r.URL)
	}
	if err == nil {
		err = h.origins.check(r, id)
	}
	if err != nil {
		refuse(w, r, err)
		return
	}
	if isUpgrade(r) {
		h.serveUpgrade(w, r, id, seen)
		return
	}
	ignoreUpgrade(r.Header)
	if err := outbound(r.Header, id); err != nil {
		refuse(w, r, err)
		return
	}
	var route *httputil.ReverseProxy
	switch {
	case id.IsOwn():
		route = h.owned
	case id.Bearer:
		route = h.plain
	default:
		route = h.ambient
	}
	if t := parseTarget(r.URL); t.isStream() {
		route = h.stranded(route, t, keyOf(id, r.URL))
	}
	route.ServeHTTP(w, r)
}

// Drain refuses new streams, ends those that run with a Status that says so,
// and waits for them, at most until ctx ends; then it cuts what is left.
func (h *Handler) Drain(ctx context.Context) { h.sessions.drain(ctx) }

// Sessions is how many streams there are.
func (h *Handler) Sessions() int {
	h.sessions.mu.Lock()
	defer h.sessions.mu.Unlock()
	return len(h.sessions.running)
}

// Close drops the connections to the API server that nobody uses, and keeps no spare
// ones from then on. Streams go on, see Drain.
func (h *Handler) Close() {
	h.up.close()
	h.idlers.close()
}

// auditID is how net/http spells Audit-ID in a header map.
const auditID = "Audit-Id"

// outbound makes the header of a client's request the one that goes upstream:
// nothing hop by hop, no credential and no claim of the client's about who or
// where it is, and edge's identity for it last. Every path goes through here.
func outbound(h http.Header, id impersonate.Identity) error {
	forwarded, ok := h[forwardedFor] // edge's own word, see locate: no Connection takes it off
	record, onRecord := h[auditID]   // an Observer's, under which the API server is to have the request too
	if err := impersonate.Rewrite(h, id); err != nil {
		return failure(ReasonIdentity, http.StatusForbidden, metav1.StatusReasonForbidden, err.Error())
	}
	if id.IsSelf() { // whose address upstream sees itself
		delete(h, forwardedFor)
	} else if ok {
		h[forwardedFor] = forwarded
	}
	if onRecord {
		h[auditID] = record
	}
	return nil
}
