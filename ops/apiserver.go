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
)

const (
	// checkInterval is how often the API server is asked.
	checkInterval = 5 * time.Second
	// checkTimeout bounds one question.
	checkTimeout = 4 * time.Second
	// mostFailures in a row make it unreachable: one lost packet, or the moment in
	// which an API server is replaced, takes no edge out of its load balancer.
	mostFailures = 3
	maxAnswer    = 4 << 10 // bytes that are read of an answer
)

// APIServer knows whether the API server can be reached, and knows edge.
type APIServer struct {
	client *http.Client
	url    string
	knows  bool // whether the API server must know edge's credential
	log    *slog.Logger

	mu       sync.Mutex
	failures int // in a row
	last     error
}

var errNotAsked = errors.New("the API server was not reached yet")

// NewAPIServer makes a check with the configuration and credential of cfg. Without
// a credential of edge's own, any answer will do.
func NewAPIServer(cfg *rest.Config, credential bool, log *slog.Logger) (*APIServer, error) {
	shared, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	client := *shared // which may be everybody's
	client.Timeout = checkTimeout
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the credential is for one host
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, err
	}
	return &APIServer{
		client: &client, url: base.JoinPath("/readyz").String(), knows: credential, log: log,
		failures: mostFailures, last: errNotAsked,
	}, nil
}

// Run asks until ctx ends.
func (a *APIServer) Run(ctx context.Context) {
	defer a.client.CloseIdleConnections()
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
	if err == nil {
		a.failures = 0
	} else {
		a.failures = min(a.failures+1, mostFailures)
	}
	changed := a.last == nil || a.last.Error() != fmt.Sprint(err)
	a.last = err
	is := a.failures < mostFailures
	a.mu.Unlock()
	switch {
	case is && !was:
		a.log.Info("API server can be reached")
	case !is && (was || changed):
		a.log.Warn("API server cannot be used: not ready", "error", err.Error())
	}
}

// ask takes any answer for a good one that shows that requests can be served: who
// may read /readyz is the cluster's own matter.
func (a *APIServer) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return errors.New("the API server cannot be reached")
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	switch {
	case resp.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("the API server is not ready: %s", resp.Status)
	case resp.StatusCode == http.StatusUnauthorized && a.knows:
		return errors.New("the API server does not accept edge's own credential")
	}
	return nil
}
