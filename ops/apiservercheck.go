package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"edge/bridge"
)

const (
	// checkInterval is the time between two checks of the API server.
	checkInterval = 5 * time.Second
	// keptTimeout is the timeout of a check that reuses an open connection to the API server.
	// freshTimeout is the timeout of a check on a new connection, its TLS handshake included.
	keptTimeout  = 2 * time.Second
	freshTimeout = 4 * time.Second
	// mostFailures is how many checks in a row must fail before edge is not ready. One lost packet,
	// or the moment in which an API server is replaced, must not take every edge out of its load
	// balancer.
	mostFailures = 3
	maxAnswer    = 4 << 10 // limit on the bytes that are read of an answer's body
	// checkPath is the path that a check of the API server requests. The API server authenticates
	// requests for it like any other. It answers /livez without etcd, and also while it is
	// overloaded: unlike /version, the path is exempt from API Priority and Fairness. The check
	// ignores whether /livez reports failure. /readyz would not fit: an API server that is about to
	// end fails it for its --shutdown-delay-duration, and still serves.
	checkPath = "/livez"
)

// APIServer checks whether the API server answers, and whether it accepts edge's own credential.
type APIServer struct {
	kept, fresh *http.Client
	url         string
	knows       bool // true: a 401 is a failed check
	log         *slog.Logger

	mu       sync.Mutex
	failures int // failed checks in a row
	last     error
}

var errNotAsked = errors.New("the API server has not been checked yet")

// NewAPIServer returns an APIServer that checks the API server with edge's own credential. If
// needed is false, edge needs no credential of its own (it does not impersonate), and a 401 counts
// as an answer too.
func NewAPIServer(own *bridge.Credential, needed bool, log *slog.Logger) (*APIServer, error) {
	cfg := own.Config()
	kept, fresh, err := transports(cfg)
	if needed && err == nil {
		if kept, err = own.Transport(); err == nil {
			fresh, err = own.Wrap(fresh, func() {})
		}
	}
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, err
	}
	client := func(via http.RoundTripper, timeout time.Duration) *http.Client {
		return &http.Client{
			Transport: via, Timeout: timeout,
			// Do not follow redirects: edge's credential must reach no other host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &APIServer{
		kept: client(kept, keptTimeout), fresh: client(fresh, freshTimeout),
		url: base.JoinPath(checkPath).String(), knows: needed, log: log,
		failures: mostFailures, last: errNotAsked,
	}, nil
}

// transports returns two transports to the API server: kept reuses its connections, and fresh opens
// a new connection for each request.
func transports(cfg *rest.Config) (kept, fresh http.RoundTripper, err error) {
	if kept, err = rest.TransportFor(cfg); err != nil {
		return nil, nil, err
	}
	tc, err := cfg.TransportConfig()
	if err != nil {
		return nil, nil, err
	}
	tlsConfig, err := transport.TLSConfigFor(tc)
	if err != nil {
		return nil, nil, err
	}
	proxy := http.ProxyFromEnvironment
	if cfg.Proxy != nil {
		proxy = cfg.Proxy
	}
	one := &http.Transport{Proxy: proxy, TLSClientConfig: tlsConfig, TLSHandshakeTimeout: freshTimeout, DisableKeepAlives: true}
	if tc.DialHolder != nil { // the configuration or a credential plugin has its own dialer
		one.DialContext = tc.DialHolder.Dial
	}
	fresh, err = rest.HTTPWrappersForConfig(cfg, one)
	return kept, fresh, err
}

// Run checks the API server at every checkInterval until ctx ends.
func (a *APIServer) Run(ctx context.Context) {
	defer a.kept.CloseIdleConnections()
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	for {
		if err := a.ask(ctx); ctx.Err() == nil {
			a.note(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Ready returns nil while the API server answers, and otherwise the error of the last check.
func (a *APIServer) Ready() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failures < mostFailures {
		return nil
	}
	return a.last
}

// note stores the result of a check of the API server. It logs when the API server becomes usable
// or unusable, and when the reason changes while the API server is unusable.
func (a *APIServer) note(err error) {
	a.mu.Lock()
	was := a.failures < mostFailures
	switch {
	case err == nil:
		a.failures = 0
	case errors.Is(err, bridge.ErrRefused): // edge's credential stays refused until somebody replaces it
		a.failures = mostFailures
	default:
		a.failures = min(a.failures+1, mostFailures)
	}
	changed := a.last == nil || a.last.Error() != fmt.Sprint(err)
	a.last = err
	is := a.failures < mostFailures
	a.mu.Unlock()
	switch {
	case is && !was:
		a.log.Info("API server check succeeded")
	case !is && (was || changed):
		a.log.Warn("API server check failed, edge is not ready", "error", err.Error())
	}
}

// ask checks the API server on an open connection and, if that fails, at once on a new connection.
// The open connection may lead to an API server or a load balancer that no longer serves, while
// others do.
func (a *APIServer) ask(ctx context.Context) error {
	err := a.try(ctx, a.kept)
	if err == nil || ctx.Err() != nil {
		return err
	}
	a.kept.CloseIdleConnections()
	return a.try(ctx, a.fresh)
}

// try sends one request through the HTTP client in the parameter via, and returns nil if the API
// server answers. Every status counts as an answer except 502, 503, 504 and, if edge needs its own
// credential, 401: neither edge's permissions nor the API server's health matter here.
func (a *APIServer) try(ctx context.Context, via *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return err
	}
	resp, err := via.Do(req)
	switch {
	case errors.Is(err, bridge.ErrNoCredential):
		return bridge.ErrNoCredential
	case err != nil:
		return errors.New("the API server cannot be reached")
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("the API server check was answered with %s", resp.Status)
	case http.StatusUnauthorized:
		if a.knows {
			return bridge.ErrRefused
		}
	}
	return nil
}
