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
	// checkInterval is how often the API server is asked.
	checkInterval = 5 * time.Second
	// keptTimeout bounds a question on the connection that is there, and freshTimeout one on another connection, with its
	// handshake.
	keptTimeout  = 2 * time.Second
	freshTimeout = 4 * time.Second
	// mostFailures in a row make it unreachable: one lost packet, or the moment in
	// which an API server is replaced, takes no edge out of its load balancer.
	mostFailures = 3
	maxAnswer    = 4 << 10 // bytes that are read of an answer
	// checkPath is what is asked for. The API server authenticates it like any other path, and answers it also while it is
	// too busy for requests (it is exempt from API Priority and Fairness, where /version is not), and without etcd. What it
	// says of itself there is not looked at. Its /readyz is another question: an API server that is about to end says no
	// there for its --shutdown-delay-duration, and serves on.
	checkPath = "/livez"
)

// APIServer knows whether the API server answers, and accepts edge's own credential.
type APIServer struct {
	kept, fresh *http.Client
	url         string
	knows       bool // whether the API server must know edge's credential
	log         *slog.Logger

	mu       sync.Mutex
	failures int // in a row
	last     error
}

var errNotAsked = errors.New("the API server was not reached yet")

// NewAPIServer makes a check with edge's own credential. If edge needs none, any
// answer will do.
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
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the credential is for one host
		}
	}
	return &APIServer{
		kept: client(kept, keptTimeout), fresh: client(fresh, freshTimeout),
		url: base.JoinPath(checkPath).String(), knows: needed, log: log,
		failures: mostFailures, last: errNotAsked,
	}, nil
}

// transports are one that keeps connections, and one that makes another for each request.
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
	if tc.DialHolder != nil { // a configuration's, or a credential plugin's
		one.DialContext = tc.DialHolder.Dial
	}
	fresh, err = rest.HTTPWrappersForConfig(cfg, one)
	return kept, fresh, err
}

// Run asks until ctx ends.
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

// Ready returns nil while the API server answers.
func (a *APIServer) Ready() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failures < mostFailures {
		return nil
	}
	return a.last
}

func (a *APIServer) note(err error) {
	a.mu.Lock()
	was := a.failures < mostFailures
	switch {
	case err == nil:
		a.failures = 0
	case errors.Is(err, bridge.ErrRefused): // it does not pass by itself
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
		a.log.Info("API server answers")
	case !is && (was || changed):
		a.log.Warn("API server cannot be used: not ready", "error", err.Error())
	}
}

// ask tells whether a request of edge's is answered: on the connection that is
// there, or at once on another one. A connection may lead to an API server, or
// through a load balancer, that is gone while others serve.
func (a *APIServer) ask(ctx context.Context) error {
	err := a.try(ctx, a.kept)
	if err == nil || ctx.Err() != nil {
		return err
	}
	a.kept.CloseIdleConnections()
	return a.try(ctx, a.fresh)
}

// try takes any answer for a good one that shows that requests can be served: what
// edge may do is the cluster's own matter, and so is what ails it.
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
		return fmt.Errorf("the API server does not serve: %s", resp.Status)
	case http.StatusUnauthorized:
		if a.knows {
			return bridge.ErrRefused
		}
	}
	return nil
}
