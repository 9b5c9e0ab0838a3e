package bridge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/streams"
)

// gatherTime is how long the first bytes of a body may wait for its rest, so that
// a small answer leaves in one write. It is for bodies whose length is declared:
// ReverseProxy flushes any other at once, and watches and logs are such.
const gatherTime = 10 * time.Millisecond

// newPlain is the path of REST, watch and logs: a reverse proxy over HTTP/2
// that hands the client's cancel on. The request's header is upstream's already,
// see outbound.
func newPlain(up *upstream, transport http.RoundTripper, disableCompression bool, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: gatherTime,
		BufferPool:    bufferPool{},
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = up.url(pr.In.URL)
			pr.Out.Host = ""
			pr.Out.Trailer = nil // announced by the client, and some server might take one for the header of its name
			// ReverseProxy took it off, as it does whatever a client says of itself;
			// this one is ours.
			if v, ok := pr.In.Header["X-Forwarded-For"]; ok {
				pr.Out.Header["X-Forwarded-For"] = v
			}
			if disableCompression {
				pr.Out.Header.Del("Accept-Encoding")
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode == http.StatusSwitchingProtocols { // nobody asked; ReverseProxy would make a tunnel of it
				return errNotSwitched
			}
			return up.explainUpgradeRequired(resp)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				log.Debug("client went away before the API server answered", "method", r.Method)
				panic(http.ErrAbortHandler)
			}
			log.Warn("API server did not answer", "method", r.Method, "error", err.Error())
			writeStatus(w, r, gatewayError(err))
		},
	}
}

// gatewayError is the client's view of a failure upstream: 504 if it took too
// long, 502 otherwise. The details, which may name addresses, stay in the log.
func gatewayError(err error) error {
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return failure(http.StatusGatewayTimeout, metav1.StatusReasonTimeout, "edge: the API server did not answer in time")
	}
	return failure(http.StatusBadGateway, metav1.StatusReasonServiceUnavailable, "edge: the API server could not be reached")
}

// bufferPool lends the relay's buffers to ReverseProxy.
type bufferPool struct{}

func (bufferPool) Get() []byte  { return streams.Borrow()[:] }
func (bufferPool) Put(b []byte) { streams.Return((*streams.Buffer)(b)) }
