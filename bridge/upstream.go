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

	"golang.org/x/net/http2"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"edge/impersonate"
)

const (
	maxAnswerHeader     = 10 << 20  // bytes of an upstream answer's head: what client-go and kube-apiserver's own proxies take
	responseWindow      = 256 << 10 // bytes
	http2ReadIdle       = 20 * time.Second
	http2PingTimeout    = 15 * time.Second
	upstreamIdleTimeout = 90 * time.Second
	upgradeAnswer       = 60 * time.Second // the runtime may have to start the process before the 101
	resumableSessions   = 4                // TLS sessions that are kept, one for each name that is dialed
)

// upstream is the API server: two ways to it, which share no connection.
type upstream struct {
	base  *url.URL
	edges route // with edge's own credential
	owns  route // with none: for requests that bring their sender's
}

// route is a pair of transports with the same credential, since Go offers HTTP/2
// in ALPN for any upgrade but websocket, and an upgrade can only be had over
// HTTP/1.1.
type route struct {
	plain   http.RoundTripper // HTTP/2
	upgrade http.RoundTripper // HTTP/1.1 only, a connection for each request
	spares  *spares           // of upgrade; nil: none
	idle    func()            // drops what plain keeps
}

func (r route) close() {
	r.idle()
	if r.spares != nil {
		r.spares.close()
	}
}

// route is the one for an identity.
func (up *upstream) route(id impersonate.Identity) route {
	if id.IsOwn() {
		return up.owns
	}
	return up.edges
}

func (up *upstream) close() {
	up.edges.close()
	up.owns.close()
}

func newUpstream(cfg *rest.Config) (*upstream, error) {
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
	up := &upstream{base: base}
	if up.edges, err = newRoute(cfg, base); err != nil {
		return nil, err
	}
	up.owns, err = newRoute(rest.AnonymousClientConfig(cfg), base)
	return up, err
}

func newRoute(cfg *rest.Config, base *url.URL) (r route, err error) {
	tc, err := cfg.TransportConfig()
	if err != nil {
		return r, fmt.Errorf("bridge: API server credential: %w", err)
	}
	tlsConfig, err := transport.TLSConfigFor(tc)
	if err != nil {
		return r, fmt.Errorf("bridge: API server TLS: %w", err)
	}
	if tlsConfig == nil {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}

	if tlsConfig.GetClientCertificate == nil { // of which a session that is resumed would keep an old one
		tlsConfig.ClientSessionCache = tls.NewLRUClientSessionCache(resumableSessions)
	}

	d := newDialer(cfg, base, tlsConfig)
	proxy := http.ProxyFromEnvironment
	if cfg.Proxy != nil {
		proxy = cfg.Proxy
	}
	common := func() *http.Transport {
		return &http.Transport{
			Proxy:                  proxy,
			DialContext:            d.dial,
			TLSClientConfig:        tlsConfig.Clone(),
			TLSHandshakeTimeout:    handshakeTimeout,
			IdleConnTimeout:        upstreamIdleTimeout,
			MaxResponseHeaderBytes: maxAnswerHeader,
			ExpectContinueTimeout:  time.Second,
			DisableCompression:     true, // bodies pass as they are
			ResponseHeaderTimeout:  cfg.Timeout,
		}
	}

	plain := common()
	if tc.DialHolder != nil && cfg.Dial == nil { // a credential plugin's, which closes what a replaced client certificate opened
		plain.DialContext = tc.DialHolder.Dial
	}
	// What one response may hold in memory while its client does not read: x/net's
	// own 4 MiB would let one client's 250 streams fill a gigabyte.
	plain.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: responseWindow}
	h2, err := http2.ConfigureTransports(plain)
	if err != nil {
		return r, fmt.Errorf("bridge: HTTP/2 to the API server: %w", err)
	}
	h2.ReadIdleTimeout = http2ReadIdle
	h2.PingTimeout = http2PingTimeout

	upgrade := common()
	upgrade.DialTLSContext = d.dialTLS
	if tlsConfig.GetClientCertificate == nil { // of which a spare connection would keep an old one
		r.spares = newSpares(d)
		upgrade.DialTLSContext = r.spares.dialTLS
	}
	upgrade.TLSClientConfig.NextProtos = []string{http1} // behind a proxy
	upgrade.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	upgrade.ForceAttemptHTTP2 = false
	// An upgrade must not meet a connection that the API server is about to close,
	// as it does after some refusals: a POST is not sent twice.
	upgrade.MaxIdleConnsPerHost = -1
	upgrade.ReadBufferSize, upgrade.WriteBufferSize = 4<<10, 1<<10
	if upgrade.ResponseHeaderTimeout == 0 {
		upgrade.ResponseHeaderTimeout = upgradeAnswer
	}

	if r.plain, err = rest.HTTPWrappersForConfig(cfg, plain); err != nil {
		return r, fmt.Errorf("bridge: API server credential: %w", err)
	}
	if r.upgrade, err = rest.HTTPWrappersForConfig(cfg, upgrade); err != nil {
		return r, fmt.Errorf("bridge: API server credential: %w", err)
	}
	r.idle = plain.CloseIdleConnections
	return r, nil
}

// url is where a request for u goes upstream.
func (up *upstream) url(u *url.URL) *url.URL {
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
func (up *upstream) prefix() *url.URL { return &url.URL{Path: strings.TrimSuffix(up.base.Path, "/")} }

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
