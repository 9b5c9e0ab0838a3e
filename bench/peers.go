package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"

	upgradeproxy "k8s.io/apimachinery/pkg/util/proxy"
	translate "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// unlimited is the value for "no limit" of MaxBytesPerSec, the API server's default if
// PerConnectionBandwidthLimitBytesPerSec is not set.
const unlimited = 0

// newTranslator returns a proxy that serves exec and port-forward as kube-apiserver does if a
// kubelet does not support WebSocket. The proxy translates WebSocket v5 to SPDY, unpacks SPDY that
// is tunneled in WebSocket, and passes other upgrades through.
func newTranslator(c roleConfig) (http.Handler, error) {
	upstream, transport, err := c.upstreamTransport()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc(podPattern+"{subresource}", func(w http.ResponseWriter, r *http.Request) {
		location := upstream.JoinPath(r.URL.Path)
		location.RawQuery = r.URL.RawQuery
		passer := upgradeproxy.NewUpgradeAwareHandler(location, transport, false, true, responder{})
		passer.MaxBytesPerSec = unlimited
		if r.PathValue("subresource") == "portforward" {
			tunneling := translate.NewTunnelingHandler(passer)
			translate.NewTranslatingHandler(passer, tunneling, wsstream.IsWebSocketRequestWithTunnelingProtocol).ServeHTTP(w, r)
			return
		}
		translator := translate.NewStreamTranslatorHandler(location, transport, unlimited, execStreams(r.URL.Query()))
		translate.NewTranslatingHandler(passer, translator, wsstream.IsWebSocketRequestWithStreamCloseProtocol).ServeHTTP(w, r)
	})
	return mux, nil
}

// newRelay returns a proxy that copies the bytes of an upgraded connection without parsing them.
func newRelay(c roleConfig) (http.Handler, error) {
	upstream, transport, err := c.upstreamTransport()
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport: transport,
	}, nil
}

// newPlainRelay returns a proxy for requests without an upgrade. It uses HTTP/2 upstream, as edge
// does. It cannot upgrade connections; newRelay can, but only with HTTP/1.1 upstream.
func newPlainRelay(c roleConfig) (http.Handler, error) {
	upstream, transport, err := c.upstreamTransport()
	if err != nil {
		return nil, err
	}
	transport.ForceAttemptHTTP2 = true
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport: transport,
	}, nil
}

// responder implements the interface of the API server's handlers for errors: it reports to the
// client an error that occurs before an upgrade.
type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusBadGateway)
}

// execStreams returns the streams that an exec request asks for.
func execStreams(query url.Values) translate.Options {
	asked := func(name string) bool {
		yes, err := strconv.ParseBool(query.Get(name))
		return err == nil && yes
	}
	return translate.Options{Stdin: asked("stdin"), Stdout: asked("stdout"), Stderr: asked("stderr"), Tty: asked("tty")}
}
