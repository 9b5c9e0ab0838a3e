package bridge

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/roundtrip"
	"edge/bridge/internal/status"
	"edge/bridge/internal/upstream"
	"edge/streams"
)

// flushInterval is how long the first bytes of an answer's body may wait for the rest, so that a
// small answer leaves in one write. It applies to bodies with a declared length. ReverseProxy
// flushes all other bodies at once, and watches and logs have no declared length.
const flushInterval = 10 * time.Millisecond

// newPlain returns the reverse proxy that serves plain requests (REST, watch and logs) over HTTP/2.
// If the client cancels a request, the proxy cancels it upstream. rewriteHeader has already
// rewritten the request header for upstream.
func newPlain(up *upstream.Cluster, transport http.RoundTripper, disableCompression bool, log *slog.Logger) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:     roundtrip.NewKeeper(transport),
		FlushInterval: flushInterval,
		BufferPool:    bufferPool{},
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = up.URL(pr.In.URL)
			pr.Out.Host = ""
			// The client announced these trailers. Some server might treat a trailer as the header
			// of the same name, such as Impersonate-User.
			pr.Out.Trailer = nil
			// ReverseProxy has removed X-Forwarded-For, as it does with all such headers of a
			// client. edge itself has set this header, so restore it.
			if v, ok := pr.In.Header["X-Forwarded-For"]; ok {
				pr.Out.Header["X-Forwarded-For"] = v
			}
			if disableCompression {
				pr.Out.Header.Del("Accept-Encoding")
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			// edge requested no upgrade, and ReverseProxy would turn the connection into a tunnel.
			if resp.StatusCode == http.StatusSwitchingProtocols {
				return negotiate.ErrNotSwitched
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			var broken *roundtrip.BodyError
			switch {
			case errors.As(err, &broken): // the request's body could not be read; the client may still read an answer
				log.Debug("client did not send its whole request body", "method", r.Method, "error", err.Error())
			case r.Context().Err() != nil:
				log.Debug("client canceled the request before the API server answered", "method", r.Method)
				panic(http.ErrAbortHandler)
			// Errors of edge's own credential are logged once elsewhere, not for each request.
			case status.IsAnswer(err):
				status.Write(w, r, err)
				return
			default:
				log.Warn("API server did not answer", "method", r.Method, "error", err.Error())
			}
			status.Write(w, r, upstream.GatewayError(r.Method, err))
		},
	}
}

// bufferPool lends ReverseProxy the buffers that the relay of streams uses.
type bufferPool struct{}

func (bufferPool) Get() []byte  { return streams.Borrow()[:] }
func (bufferPool) Put(b []byte) { streams.Return((*streams.Buffer)(b)) }

// waitUnbuffered returns a copy of route, and a writer for it, with which an answer does not hold
// one of the relay's buffers while it waits for data.
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

// noBuffers is a buffer pool that has no buffers, because a waitingAnswer has its own. ReverseProxy
// would allocate a large buffer if Get returned an empty one, so Get returns one byte.
type noBuffers struct{}

func (noBuffers) Get() []byte { return make([]byte, 1) }
func (noBuffers) Put([]byte)  {}

const (
	smallWait  = 512     // bytes: enough for a watch's bookmark event or a log line
	mediumWait = 8 << 10 // bytes: enough for a watch event about most objects
)

var mediumBuffers = sync.Pool{New: func() any { return new([mediumWait]byte) }}

// waitingAnswer copies the body of an answer to the client, and holds no large buffer while it
// waits for data. It replaces the response's body: the first Read of ReverseProxy copies the whole
// body. It is also the writer to the client.
//
// Each wait uses a buffer that is large enough for the bytes that came last. A buffer of the relay
// has 40 KiB, which all stay resident once a list has passed through it, and edge may serve many
// watches. If more bytes come than last time, the first of them are written alone, because
// waitingAnswer cannot know whether more bytes are ready.
type waitingAnswer struct {
	io.ReadCloser // the upstream response's body
	small         [smallWait]byte

	http.ResponseWriter
	// mu guards Write and Flush, because ReverseProxy flushes once from a goroutine of its own.
	mu sync.Mutex
}

// Read copies the whole body to the client. It returns no bytes and the error that ended the
// copying.
func (a *waitingAnswer) Read([]byte) (int, error) {
	for last := mediumWait; ; { // the first read uses a large buffer, since data comes soon
		n, err := a.passOn(last)
		if n > 0 && err != io.EOF {
			// Bytes can come together with an error, after which ReverseProxy panics: net/http then
			// drops bytes that are not flushed. A failed flush is ignored, as in ReverseProxy: if
			// the client has disconnected, the next Write fails.
			_ = a.FlushError()
		}
		if err != nil {
			return 0, err
		}
		last = n
	}
}

// passOn reads from the upstream body once and writes the bytes to the client. Its buffer has room
// for more than last bytes.
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

// passThrough reads the upstream body once, into buf, and writes the bytes to the client. Its error
// after a failed write is never io.EOF itself, because io.EOF means that the body is complete.
func (a *waitingAnswer) passThrough(buf []byte) (int, error) {
	n, err := a.ReadCloser.Read(buf)
	if n == 0 {
		return 0, err
	}
	written, failed := a.Write(buf[:n])
	if failed == nil && written < n {
		failed = io.ErrShortWrite
	}
	if failed != nil {
		return n, fmt.Errorf("write to the client: %w", failed)
	}
	return n, err
}

// Write implements http.ResponseWriter.
func (a *waitingAnswer) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ResponseWriter.Write(b)
}

// FlushError flushes the client's writer. http.ResponseController calls it.
func (a *waitingAnswer) FlushError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController set deadlines, and status.NoteReason find its Noter.
func (a *waitingAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
