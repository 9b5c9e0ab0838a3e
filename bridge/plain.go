package bridge

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
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

// mayWait tells whether most of an answer's time may pass in waiting: a watch's, or that of a log which is followed.
func mayWait(u *url.URL) bool {
	return strings.Contains(u.RawQuery, "watch=") || strings.Contains(u.RawQuery, "follow=") || strings.Contains(u.Path, "/watch/")
}

// waitUnbuffered is route, and the writer to give it, by which an answer waits without one of the relay's buffers.
func waitUnbuffered(route *httputil.ReverseProxy, w http.ResponseWriter) (*httputil.ReverseProxy, http.ResponseWriter) {
	u, a := *route, &waitingAnswer{ResponseWriter: w}
	u.BufferPool = noBuffers{}
	u.ModifyResponse = func(resp *http.Response) error {
		if err := route.ModifyResponse(resp); err != nil {
			return err
		}
		a.ReadCloser, resp.Body = resp.Body, a
		return nil
	}
	return &u, a
}

// noBuffers is for a waitingAnswer, which has its own: ReverseProxy would allocate one if it got none.
type noBuffers struct{}

func (noBuffers) Get() []byte { return make([]byte, 1) }
func (noBuffers) Put([]byte)  {}

const (
	smallWait  = 512     // bytes: a bookmark, a line of a log
	mediumWait = 8 << 10 // bytes: what a change of most objects takes
)

var mediumBuffers = sync.Pool{New: func() any { return new([mediumWait]byte) }}

// waitingAnswer is a body that goes to the client when ReverseProxy first reads it, to its end, and the client's side of it.
// A Read waits with a buffer that holds what came last: one of the relay's is 40 KiB, all of them resident once a list has
// passed through it, and watches are many. What begins a burst that is larger than the last is sent on by itself, since
// nothing tells whether more is there.
type waitingAnswer struct {
	io.ReadCloser // upstream's body
	small         [smallWait]byte

	http.ResponseWriter
	mu sync.Mutex // guards Write and Flush: ReverseProxy flushes once from a goroutine of its own
}

// Read gives no bytes, and the error that ended the copying.
func (a *waitingAnswer) Read([]byte) (int, error) {
	for last := mediumWait; ; { // the first bytes do not keep one waiting
		n, err := a.passOn(last)
		if err != nil {
			return 0, err
		}
		_ = a.FlushError() // as ReverseProxy does: of a client that is gone a Write tells
		last = n
	}
}

// passOn reads once and writes that, with a buffer for more than last bytes.
func (a *waitingAnswer) passOn(last int) (int, error) {
	switch {
	case last < smallWait:
		return a.passThrough(a.small[:])
	case last < mediumWait:
		buf := mediumBuffers.Get().(*[mediumWait]byte)
		defer mediumBuffers.Put(buf)
		return a.passThrough(buf[:])
	default:
		buf := streams.Borrow()
		defer streams.Return(buf)
		return a.passThrough(buf[:])
	}
}

func (a *waitingAnswer) passThrough(buf []byte) (int, error) {
	n, err := a.ReadCloser.Read(buf)
	if n > 0 {
		if _, failed := a.Write(buf[:n]); failed != nil {
			return n, failed
		}
	}
	return n, err
}

// Write implements http.ResponseWriter.
func (a *waitingAnswer) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ResponseWriter.Write(b)
}

// FlushError is what http.ResponseController calls.
func (a *waitingAnswer) FlushError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return http.NewResponseController(a.ResponseWriter).Flush()
}

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
