package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/streams"
)

// newPlain is the path of REST, watch and logs: a reverse proxy over HTTP/2
// that flushes at once and hands the client's cancel on. The request's header is
// upstream's already, see outbound.
func newPlain(up *upstream, disableCompression bool, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Transport:     up.plain,
		FlushInterval: -1,
		BufferPool:    bufferPool{},
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = up.url(pr.In.URL)
			pr.Out.Host = ""
			// ReverseProxy took it off, as it does whatever a client says of itself;
			// this one is ours.
			if v, ok := pr.In.Header["X-Forwarded-For"]; ok {
				pr.Out.Header["X-Forwarded-For"] = v
			}
			if disableCompression {
				pr.Out.Header.Del("Accept-Encoding")
			}
		},
		ModifyResponse: up.explainUpgradeRequired,
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

// What a stream request without Upgrade is told.
const (
	upgradeRequired = "Upgrade request required"
	missingUpgrade  = "unable to upgrade: missing upgrade headers"
)

// explainUpgradeRequired replaces the API server's 400 to a stream request that
// lost its Upgrade on the way to edge, and nothing else: a 403 or 404 to the same
// request stays what it is.
func (up *upstream) explainUpgradeRequired(resp *http.Response) error {
	t := targetOf(strings.TrimPrefix(resp.Request.URL.EscapedPath(), up.prefix().EscapedPath()))
	if !t.isStream() || !isUpgradeRequired(resp) {
		return nil
	}
	resp.Body.Close()
	body := encodeStatus(failure(http.StatusBadRequest, metav1.StatusReasonBadRequest, strippedMessage(t)).ErrStatus)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Type", "application/json")
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.Header.Del("Content-Encoding")
	return nil
}

// strippedMessage says why a stream did not begin, and what to do.
func strippedMessage(t target) string {
	remedy := "use kubectl 1.30 or later (with 1.29, set KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true)"
	if t.verb == verbPortForward {
		remedy = "use kubectl 1.31 or later"
	}
	return fmt.Sprintf("edge: this %s arrived without its Upgrade header: a load balancer or proxy between you and edge does not carry SPDY, "+
		"the protocol that this client speaks. WebSocket passes: %s. For any client that speaks only SPDY, `edge connect` translates on your side, "+
		"where your edge has it", t.verb, remedy)
}
