package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/roundtrip"
)

// route is a pair of transports to the API server that send the same credential. Two are needed: an
// upgrade is possible only over HTTP/1.1, but Go offers HTTP/2 in ALPN for every upgrade except
// websocket.
type route struct {
	Plain   http.RoundTripper    // HTTP/2, or HTTP/1.1 if the API server does not offer HTTP/2
	upgrade http.RoundTripper    // HTTP/1.1 only, a new connection for each request
	spares  *sparePool           // spare connections for upgrades; nil: none are kept
	direct  *roundtrip.Transport // the transport that the field Plain wraps
}

func (r route) close() {
	r.direct.Close()
	if r.spares != nil {
		r.spares.close()
	}
}

func newRoute(cfg *rest.Config, base *url.URL, doubt *roundtrip.Doubt, windows *roundtrip.Windows, m *roundtrip.Metrics) (r route, err error) {
	w, err := newConnectionMaker(cfg, base, m)
	if err != nil {
		return r, err
	}
	if r.direct, err = w.direct(cfg, base, doubt, windows, false); err != nil {
		return r, err
	}
	upgrade := w.upgrade(cfg)
	// With a client certificate, keep no spare connections: after the certificate is replaced, they
	// would still use the old one.
	if w.tls.GetClientCertificate == nil {
		r.spares = newSparePool(w.dialer, doubt)
		upgrade.DialTLSContext = r.spares.dialTLS
	}
	if r.Plain, err = rest.HTTPWrappersForConfig(cfg, r.direct); err != nil {
		return r, fmt.Errorf("bridge: cannot use the credential for the API server: %w", err)
	}
	if r.upgrade, err = rest.HTTPWrappersForConfig(cfg, upgrade); err != nil {
		return r, fmt.Errorf("bridge: cannot use the credential for the API server: %w", err)
	}
	return r, nil
}

// switchProtocols sends the upgrade request req. After a 101 the caller owns the connection. After
// any other answer conn is nil and the caller closes the response's body. Redirects are not
// followed (CVE-2018-1002105, CVE-2022-3172). An error is a roundtrip.ErrUnreached or ErrLost, or a
// Status that concerns edge's own credential.
func (r route) switchProtocols(ctx context.Context, req *http.Request) (conn net.Conn, resp *http.Response, err error) {
	var raw net.Conn
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { raw = info.Conn }}
	resp, err = r.upgrade.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	switch known := apierrors.APIStatus(nil); {
	case err == nil:
	case errors.As(err, &known): // edge's own credential is missing, or was refused: nothing was done
		return nil, nil, err
	case raw == nil:
		return nil, nil, fmt.Errorf("%w: %w", roundtrip.ErrUnreached, err)
	default:
		return nil, nil, fmt.Errorf("%w: %w", roundtrip.ErrLost, err)
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
		return nil, nil, errors.New("bridge: the HTTP transport returned a 101 without its connection")
	}
	return leg.NewReplayed(raw, resp.Body), resp, nil
}
