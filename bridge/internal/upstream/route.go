package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"k8s.io/client-go/rest"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/roundtrip"
)

// route is a pair of transports with the same credential, since Go offers HTTP/2
// in ALPN for any upgrade but websocket, and an upgrade can only be had over
// HTTP/1.1.
type route struct {
	Plain   http.RoundTripper    // HTTP/2, or 1.1 where the API server's side has no 2
	upgrade http.RoundTripper    // HTTP/1.1 only, a connection for each request
	spares  *sparePool           // of upgrade; nil: none
	direct  *roundtrip.Transport // below plain
}

func (r route) close() {
	r.direct.Close()
	if r.spares != nil {
		r.spares.close()
	}
}

func newRoute(cfg *rest.Config, base *url.URL, doubt *roundtrip.Doubt, windows *roundtrip.Windows) (r route, err error) {
	w, err := newConnectionMaker(cfg, base)
	if err != nil {
		return r, err
	}
	if r.direct, err = w.direct(cfg, base, doubt, windows, false); err != nil {
		return r, err
	}
	upgrade := w.upgrade(cfg)
	if w.tls.GetClientCertificate == nil { // of which a spare connection would keep an old one
		r.spares = newSparePool(w.dialer, doubt)
		upgrade.DialTLSContext = r.spares.dialTLS
	}
	if r.Plain, err = rest.HTTPWrappersForConfig(cfg, r.direct); err != nil {
		return r, fmt.Errorf("bridge: API server credential: %w", err)
	}
	if r.upgrade, err = rest.HTTPWrappersForConfig(cfg, upgrade); err != nil {
		return r, fmt.Errorf("bridge: API server credential: %w", err)
	}
	return r, nil
}

// switchProtocols sends req, which asks for an upgrade. With a 101 the caller
// owns the connection; with any other answer it owns the response's body, and
// conn is nil. Redirects are not followed (CVE-2018-1002105, CVE-2022-3172).
func (r route) switchProtocols(ctx context.Context, req *http.Request) (conn net.Conn, resp *http.Response, err error) {
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
	return leg.NewReplayed(raw, resp.Body), resp, nil
}
