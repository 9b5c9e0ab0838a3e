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
	maxAnswerHeader = 10 << 20         // bytes of an answer's head: what client-go takes
	idleTime        = 90 * time.Second // after which a connection without a request is closed
	continueTime    = time.Second      // for which a body with Expect: 100-continue waits for that
)

// Config is what a Transport needs.
type Config struct {
	Base *url.URL // of the API server
	// Dial makes connections below TLS.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is for all connections; its NextProtos do not count.
	TLS *tls.Config
	// Proxy is as http.Transport's; nil: none.
	Proxy func(*http.Request) (*url.URL, error)
	// AnswerTimeout bounds the wait for an answer's head; 0: no bound.
	AnswerTimeout time.Duration
	// Doubt is shared with all that reach the same API server.
	Doubt *Doubt
	// Windows are shared with others; nil: all answers have narrow windows.
	Windows *Windows
	// Endless tells requests whose answer has no end in sight. They always have narrow windows.
	Endless func(*http.Request) bool
	// Asks says that no request changes anything, whatever its method: each may be sent again when its connection breaks.
	Asks bool
}

// A Transport sends requests to one API server with HTTP/2, and without where the API server's side does not offer it.
//
// What the API server has certainly not processed is sent again, if the request has no body or GetBody gives it: it was
// not written whole, its stream is above a GOAWAY's, or was refused. What may have been processed is not, but for GET,
// HEAD and OPTIONS without a body, and with Asks, when their connection breaks. Errors say which it was: ErrNothingDone, ErrLost.
type Transport struct {
	cfg           Config
	base          *url.URL
	host, address string
	narrow, wide  *pool
	singles       singles
	count         atomic.Int64 // of connections, those in the making too

	ctx    context.Context // of connections in the making
	cancel context.CancelFunc
	work   sync.WaitGroup // they
	mu     sync.Mutex
	closed bool
}

// New makes a Transport. Close it.
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
	// A connection's own window stays x/net's 1 GiB: a stream that nobody reads holds up no other.
	h2, err := http2.ConfigureTransports(&http.Transport{
		MaxResponseHeaderBytes: maxAnswerHeader,
		IdleConnTimeout:        idleTime,
		ExpectContinueTimeout:  continueTime,
		ResponseHeaderTimeout:  t.cfg.AnswerTimeout,
		DisableCompression:     true, // bodies pass as they are
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: window},
	})
	if err != nil {
		return nil, fmt.Errorf("upstream: HTTP/2: %w", err)
	}
	return &pool{t: t, h2: h2}, nil
}

// CloseIdleConnections closes what nobody uses.
func (t *Transport) CloseIdleConnections() {
	t.narrow.closeIdle()
	t.wide.closeIdle()
	t.singles.closeIdle()
}

// Close does that, too, and makes no connection from then on. What is in use is closed after its last request.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.work.Wait()
	t.CloseIdleConnections()
}

// start runs the making of a connection, for which there must be room.
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

// OnlyReads tells of a method whether it changes nothing (RFC 9110 section 9.2.1; TRACE never comes here). "" is GET, as to
// net/http.
func OnlyReads(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}
