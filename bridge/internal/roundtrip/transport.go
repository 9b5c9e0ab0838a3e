package roundtrip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

const (
	maxAnswerHeader = 10 << 20         // maximum bytes of an answer's header, as in client-go
	idleTime        = 90 * time.Second // a connection without requests is closed after this time
	continueTime    = time.Second      // how long a body with Expect: 100-continue waits for a 100
)

// Config configures a Transport, which sends requests to one API server.
type Config struct {
	Base *url.URL // the URL of the API server
	// Dial opens the connection below TLS.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is the configuration of every connection. Transport replaces its NextProtos, the
	// protocols that ALPN offers.
	TLS *tls.Config
	// Proxy selects a proxy, as in http.Transport; nil: no proxy.
	Proxy func(*http.Request) (*url.URL, error)
	// AnswerTimeout is the timeout for an answer's header; 0: no timeout.
	AnswerTimeout time.Duration
	// Doubt records that the network to the API server may be broken. All Transports to the same
	// API server share it.
	Doubt *Doubt
	// Metrics measures the connections and retries, for several Transports together; nil: nothing
	// is measured.
	Metrics *Metrics
	// Windows counts the memory of large HTTP/2 receive windows, for several Transports together;
	// nil: all answers have narrow windows.
	Windows *Windows
	// Endless reports whether the answer to a request has no known end, e.g. a watch. Such an
	// answer always has a narrow receive window.
	Endless func(*http.Request) bool
	// Asks states that no request of this Transport changes anything, whatever its method (e.g.
	// access reviews). Each request may then be sent again when its connection breaks.
	Asks bool
}

// A Transport sends requests to one API server. It uses HTTP/2, or HTTP/1.1 if the server or a load
// balancer before it does not offer HTTP/2.
//
// A request that the API server has certainly not processed is sent again, if it has no body or
// GetBody returns the body. edge is certain in three cases: the request was not written completely,
// its stream number is above the last one that a GOAWAY names, or the API server refused its
// stream.
//
// A request that may have been processed is sent again only when its connection breaks. It must
// also be a GET, HEAD or OPTIONS without a body, or Config.Asks must be set. If the request is not
// sent again, the error states whether it may have been processed (ErrLost) or not
// (ErrNothingDone).
type Transport struct {
	cfg           Config
	base          *url.URL
	host, address string
	narrow, wide  *pool
	singles       singles
	count         atomic.Int64 // number of connections, including those being opened

	ctx    context.Context // canceled by Close, which ends the opening of connections
	cancel context.CancelFunc
	work   sync.WaitGroup // used to wait until the goroutines that open connections have ended
	mu     sync.Mutex
	closed bool
}

// New returns a Transport. The caller closes it with Close.
func New(cfg Config) (*Transport, error) {
	port := cfg.Base.Port()
	if port == "" {
		port = "443"
	}
	t := &Transport{
		cfg: cfg, host: cfg.Base.Hostname(), address: net.JoinHostPort(cfg.Base.Hostname(), port),
		base: &url.URL{Scheme: cfg.Base.Scheme, Host: cfg.Base.Host, Path: "/"},
	}
	t.singles.t = t
	t.ctx, t.cancel = context.WithCancel(context.Background())
	var err error
	if t.narrow, err = t.newPool(narrowWindow); err != nil {
		return nil, err
	}
	t.wide, err = t.newPool(wideWindow)
	return t, err
}

func (t *Transport) newPool(window int) (*pool, error) {
	// The flow-control window of a whole connection stays x/net's 1 GiB: a stream whose client does
	// not read must not block the other streams.
	h2, err := http2.ConfigureTransports(&http.Transport{
		MaxResponseHeaderBytes: maxAnswerHeader,
		IdleConnTimeout:        idleTime,
		ExpectContinueTimeout:  continueTime,
		ResponseHeaderTimeout:  t.cfg.AnswerTimeout,
		DisableCompression:     true, // bodies pass unchanged
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: window},
	})
	if err != nil {
		return nil, fmt.Errorf("upstream: cannot set up HTTP/2: %w", err)
	}
	return &pool{t: t, h2: h2}, nil
}

// CloseIdleConnections closes the connections without requests.
func (t *Transport) CloseIdleConnections() {
	t.narrow.closeIdle()
	t.wide.closeIdle()
	t.singles.closeIdle()
}

// Close closes the connections without requests, and opens no more connections. A connection in use
// is closed after its last request.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.work.Wait()
	t.CloseIdleConnections()
}

// start runs f, which opens a connection, on a goroutine. It returns an error if the Transport is
// closed or has mostConnections connections.
func (t *Transport) start(f func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errClosed
	}
	if t.count.Add(1) > mostConnections {
		t.count.Add(-1)
		return errFull
	}
	t.work.Go(f)
	return nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.cfg.Windows == nil || t.singles.only.Load() || t.cfg.Endless(req) || !t.cfg.Windows.take() {
		return t.send(t.narrow, req)
	}
	resp, err := t.send(t.wide, req)
	if err != nil {
		t.cfg.Windows.give()
		return nil, err
	}
	t.cfg.Windows.hold(resp)
	return resp, nil
}

func closeBody(body io.ReadCloser) {
	if body != nil {
		body.Close()
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// OnlyReads reports whether requests with the method change nothing (RFC 9110 section 9.2.1; TRACE
// never gets here). The method "" is GET, as in net/http.
func OnlyReads(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}
