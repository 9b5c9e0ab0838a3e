package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"edge/bridge/internal/upstream"
	"edge/impersonate"
)

const (
	maxAnswerHeader   = 10 << 20         // bytes of an upstream answer's head: what client-go and kube-apiserver's own proxies take
	upgradeAnswer     = 60 * time.Second // the runtime may have to start the process before the 101
	resumableSessions = 4                // TLS sessions that are kept, one for each name that is dialed
)

// cluster is the API server: two ways to it, which share no connection.
type cluster struct {
	base  *url.URL
	edges route // with edge's own credential
	owns  route // with none: for requests that bring their sender's
}

// route is a pair of transports with the same credential, since Go offers HTTP/2
// in ALPN for any upgrade but websocket, and an upgrade can only be had over
// HTTP/1.1.
type route struct {
	plain   http.RoundTripper   // HTTP/2, or 1.1 where the API server's side has no 2
	upgrade http.RoundTripper   // HTTP/1.1 only, a connection for each request
	spares  *spares             // of upgrade; nil: none
	direct  *upstream.Transport // below plain
}

func (r route) close() {
	r.direct.Close()
	if r.spares != nil {
		r.spares.close()
	}
}

// route is the one for an identity.
func (up *cluster) route(id impersonate.Identity) route {
	if id.IsOwn() {
		return up.owns
	}
	return up.edges
}

func (up *cluster) close() {
	up.edges.close()
	up.owns.close()
}

func newCluster(cfg *rest.Config, doubt *upstream.Doubt) (*cluster, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("bridge: API server address: %w", err)
	}
	if base.Scheme != "https" {
		return nil, fmt.Errorf("bridge: API server address %q: edge sends its credential over https only", base.Redacted())
	}
	if cfg.Impersonate.UserName != "" || len(cfg.Impersonate.Groups) > 0 || cfg.Impersonate.UID != "" || len(cfg.Impersonate.Extra) > 0 {
		return nil, errors.New("bridge: the kubeconfig of edge itself impersonates somebody: remove as, as-groups, as-uid and as-user-extra from it")
	}
	up := &cluster{base: base}
	windows := new(upstream.Windows)
	if up.edges, err = newRoute(cfg, base, doubt, windows); err != nil {
		return nil, err
	}
	up.owns, err = newRoute(rest.AnonymousClientConfig(cfg), base, doubt, windows)
	return up, err
}

// A way is how connections to the API server are made, of any kind.
type way struct {
	dialer *dialer
	tls    *tls.Config
	proxy  func(*http.Request) (*url.URL, error)
	plain  dialFunc // for plain requests
}

func newWay(cfg *rest.Config, base *url.URL) (*way, error) {
	tc, err := cfg.TransportConfig()
	if err != nil {
		return nil, fmt.Errorf("bridge: API server credential: %w", err)
	}
	tlsConfig, err := transport.TLSConfigFor(tc)
	if err != nil {
		return nil, fmt.Errorf("bridge: API server TLS: %w", err)
	}
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if tlsConfig.GetClientCertificate == nil { // of which a session that is resumed would keep an old one
		tlsConfig.ClientSessionCache = tls.NewLRUClientSessionCache(resumableSessions)
	}
	w := &way{dialer: newDialer(cfg, base, tlsConfig), tls: tlsConfig, proxy: http.ProxyFromEnvironment}
	w.plain = w.dialer.dial
	if tc.DialHolder != nil && cfg.Dial == nil { // a credential plugin's, which closes what a replaced client certificate opened
		w.plain = tc.DialHolder.Dial
	}
	if cfg.Proxy != nil {
		w.proxy = cfg.Proxy
	}
	return w, nil
}

// direct is the transport of plain requests, without a credential.
func (w *way) direct(cfg *rest.Config, base *url.URL, doubt *upstream.Doubt, windows *upstream.Windows, asks bool) (*upstream.Transport, error) {
	return upstream.New(upstream.Config{
		Base: base, Dial: w.plain, TLS: w.tls, Proxy: w.proxy,
		AnswerTimeout: cfg.Timeout, Doubt: doubt, Windows: windows, Endless: isEndless, Asks: asks,
	})
}

// upgrade is that of upgrades.
func (w *way) upgrade(cfg *rest.Config) *http.Transport {
	t := &http.Transport{
		Proxy:                  w.proxy,
		DialContext:            w.dialer.dial,
		DialTLSContext:         w.dialer.dialTLS,
		TLSClientConfig:        w.tls.Clone(),
		TLSHandshakeTimeout:    handshakeTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
		ExpectContinueTimeout:  time.Second,
		DisableCompression:     true, // bodies pass as they are
		ResponseHeaderTimeout:  cfg.Timeout,
		// An upgrade must not meet a connection that the API server is about to close,
		// as it does after some refusals: a POST is not sent twice.
		MaxIdleConnsPerHost: -1,
		ReadBufferSize:      4 << 10,
		WriteBufferSize:     1 << 10,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2
	}
	t.TLSClientConfig.NextProtos = []string{http1} // behind a proxy
	if t.ResponseHeaderTimeout == 0 {
		t.ResponseHeaderTimeout = upgradeAnswer
	}
	return t
}

func newRoute(cfg *rest.Config, base *url.URL, doubt *upstream.Doubt, windows *upstream.Windows) (r route, err error) {
	w, err := newWay(cfg, base)
	if err != nil {
		return r, err
	}
	if r.direct, err = w.direct(cfg, base, doubt, windows, false); err != nil {
		return r, err
	}
	upgrade := w.upgrade(cfg)
	if w.tls.GetClientCertificate == nil { // of which a spare connection would keep an old one
		r.spares = newSpares(w.dialer, doubt)
		upgrade.DialTLSContext = r.spares.dialTLS
	}
	if r.plain, err = rest.HTTPWrappersForConfig(cfg, r.direct); err != nil {
		return r, fmt.Errorf("bridge: API server credential: %w", err)
	}
	if r.upgrade, err = rest.HTTPWrappersForConfig(cfg, upgrade); err != nil {
		return r, fmt.Errorf("bridge: API server credential: %w", err)
	}
	return r, nil
}

// NewTransport makes a transport for requests of edge's own, which fare as its clients' do: one that the API server
// certainly did not take is sent again, and a silent connection is left. edge asks for reviews, and for tokens of its own:
// each may be done twice, and is sent again when its connection breaks. close closes it.
func NewTransport(cfg *rest.Config) (rt http.RoundTripper, close func(), err error) {
	return newTransport(cfg, new(upstream.Doubt))
}

func newTransport(cfg *rest.Config, doubt *upstream.Doubt) (rt http.RoundTripper, close func(), err error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("bridge: API server address: %w", err)
	}
	w, err := newWay(cfg, base)
	if err != nil {
		return nil, nil, err
	}
	direct, err := w.direct(cfg, base, doubt, nil, true) // answers to these are small
	if err != nil {
		return nil, nil, err
	}
	if rt, err = rest.HTTPWrappersForConfig(cfg, direct); err != nil {
		return nil, nil, fmt.Errorf("bridge: API server credential: %w", err)
	}
	return rt, direct.Close, nil
}

// url is where a request for u goes upstream.
func (up *cluster) url(u *url.URL) *url.URL {
	out := *u
	out.Scheme, out.Host, out.User, out.Fragment = up.base.Scheme, up.base.Host, nil, ""
	if prefix := up.prefix(); prefix.Path != "" {
		out.Path = prefix.Path + u.Path
		if u.RawPath != "" {
			out.RawPath = prefix.EscapedPath() + u.RawPath
		}
	}
	return &out
}

// prefix is the path of the API server's address.
func (up *cluster) prefix() *url.URL { return &url.URL{Path: strings.TrimSuffix(up.base.Path, "/")} }

// switched is a connection after upstream's 101: reads see first what came with
// the answer.
type switched struct {
	net.Conn
	read io.Reader
}

func (s *switched) Read(b []byte) (int, error) { return s.read.Read(b) }

// switchProtocols sends req, which asks for an upgrade. With a 101 the caller
// owns the connection; with any other answer it owns the response's body, and
// conn is nil. Redirects are not followed (CVE-2018-1002105, CVE-2022-3172).
func (r route) switchProtocols(ctx context.Context, req *http.Request) (conn *switched, resp *http.Response, err error) {
	var raw net.Conn
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { raw = info.Conn }}
	resp, err = r.upgrade.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		return nil, nil, err
	}
	if c, ok := raw.(spareConn); ok {
		raw = c.Conn
		r.spares.fill(c)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, resp, nil
	}
	if raw == nil {
		resp.Body.Close()
		return nil, nil, errors.New("bridge: the transport gave no connection with the 101")
	}
	return &switched{Conn: raw, read: resp.Body}, resp, nil
}
