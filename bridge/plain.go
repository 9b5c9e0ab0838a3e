package bridge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"runtime"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/roundtrip"
	"edge/bridge/internal/status"
	"edge/bridge/internal/upstream"
	"edge/streams"
)

// flushInterval is how long the first bytes of a body may wait for its rest, so that
// a small answer leaves in one write. It is for bodies whose length is declared:
// ReverseProxy flushes any other at once, and watches and logs are such.
const flushInterval = 10 * time.Millisecond

// newPlain is the path of REST, watch and logs: a reverse proxy over HTTP/2
// that hands the client's cancel on. The request's header is upstream's already,
// see outbound.
func newPlain(up *upstream.Cluster, transport http.RoundTripper, disableCompression bool, log *slog.Logger) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:     roundtrip.NewKeeper(transport),
		FlushInterval: flushInterval,
		BufferPool:    bufferPool{},
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = up.URL(pr.In.URL)
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
				return negotiate.ErrNotSwitched
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			var broken *roundtrip.BodyError
			switch {
			case errors.As(err, &broken): // whose client may be gone, or may still read
				log.Debug("a client's body broke off", "method", r.Method, "error", err.Error())
			case r.Context().Err() != nil:
				log.Debug("client went away before the API server answered", "method", r.Method)
				panic(http.ErrAbortHandler)
			case status.IsAnswer(err): // of edge's own credential the log has it once, not for each request
				status.Write(w, r, err)
				return
			default:
				log.Warn("API server did not answer", "method", r.Method, "error", err.Error())
			}
			status.Write(w, r, gatewayError(r.Method, err))
		},
	}
}

// unprocessedRetry is when a request that edge could not send again may be, in seconds: the next connection is there.
const unprocessedRetry = 1

// gatewayError is the client's view of a failure on the way upstream: its own body's, or
// the API server's. It says whether what was asked for may have been done. The
// details, which may name addresses, stay in the log.
func gatewayError(method string, err error) error {
	var broken *roundtrip.BodyError
	switch {
	case errors.As(err, &broken):
		return status.BadRequest(status.ReasonBody, "the request's body ended before its end, or broke the rules of HTTP")
	case errors.Is(err, roundtrip.ErrNothingDone):
		e := status.New(status.ReasonUpstream, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable,
			"edge: the API server did not take the request, and nothing was done: try again")
		e.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: unprocessedRetry}
		return e
	}
	code, reason, message := http.StatusBadGateway, metav1.StatusReasonServiceUnavailable, "edge: the API server could not be reached"
	lost := errors.Is(err, roundtrip.ErrLost) || errors.Is(err, roundtrip.ErrSilent)
	switch {
	case errors.Is(err, roundtrip.ErrSilent), isTimeout(err):
		code, reason, message = http.StatusGatewayTimeout, metav1.StatusReasonTimeout, "edge: the API server did not answer in time"
		lost = lost || !errors.Is(err, roundtrip.ErrUnreached)
	case lost:
		message = "edge: the connection to the API server ended before its answer"
	}
	if lost && !roundtrip.OnlyReads(method) {
		message += ": what was asked for may have been done"
	}
	return status.New(status.ReasonUpstream, code, reason, message)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// bufferPool lends the relay's buffers to ReverseProxy.
type bufferPool struct{}

func (bufferPool) Get() []byte  { return streams.Borrow()[:] }
func (bufferPool) Put(b []byte) { streams.Return((*streams.Buffer)(b)) }

// plainStack is what the calls of a plain request need, in bytes.
const plainStack = 4 << 10

// growStack makes room for a request before its calls nest: the goroutine of an
// HTTP/2 request begins with a small stack, and growing it in their midst copies,
// and corrects, all frames above.
//
//go:noinline
func growStack() {
	var room [plainStack]byte
	runtime.KeepAlive(&room)
}
