package bridge

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"runtime"
	"time"

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
			status.Write(w, r, upstream.GatewayError(r.Method, err))
		},
	}
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
