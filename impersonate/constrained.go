package impersonate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// constrainedAge is how long an answer counts; an API server changes its mind when it is upgraded. failureAge is
	// how long it is not asked again after it did not tell.
	constrainedAge = 10 * time.Minute
	failureAge     = time.Minute
	// refusedAge is how long it is not asked again after it did not accept edge's own credential, which may be mended
	// at once.
	refusedAge = 5 * time.Second
	// constrainedTimeout bounds the asking, during which all wait who ask to impersonate.
	constrainedTimeout = 5 * time.Second
	// maxConstrainedAnswer bounds, in bytes, what is read of the answer.
	maxConstrainedAnswer = 64 << 10
)

// A ConstrainedDetector finds out whether the API server offers constrained impersonation (KEP-5284). It is for many
// goroutines, and has none.
type ConstrainedDetector struct {
	config   *rest.Config
	upstream http.RoundTripper
	log      *slog.Logger
	now      func() time.Time

	asking chan struct{}            // one question at a time
	known  atomic.Pointer[detected] // what was learned last
}

// detected says what the API server offers, until when that counts.
type detected struct {
	constrained bool
	until       time.Time
}

// NewConstrainedDetector takes where the API server is, and a transport that sends edge's own credential. Nothing is
// asked before somebody wants to know.
func NewConstrainedDetector(cfg *rest.Config, upstream http.RoundTripper, log *slog.Logger) *ConstrainedDetector {
	d := &ConstrainedDetector{
		config: rest.CopyConfig(cfg), upstream: upstream, log: log, now: time.Now, asking: make(chan struct{}, 1),
	}
	d.known.Store(new(detected))
	return d
}

// Offered returns what was learned last, and asks when that was long ago. Who cannot be asked offers what it did before,
// and at first nothing: then only the plain right to impersonate counts. Whoever waits for another's question may leave, and
// takes what was learned before it.
func (d *ConstrainedDetector) Offered(ctx context.Context) bool {
	if known := d.known.Load(); d.now().Before(known.until) {
		return known.constrained
	}
	select {
	case d.asking <- struct{}{}:
		defer func() { <-d.asking }()
	case <-ctx.Done():
		return d.known.Load().constrained
	}
	known := d.known.Load()
	if !d.now().Before(known.until) {
		known = d.learn(ctx, known)
		d.known.Store(known)
	}
	return known.constrained
}

// learn asks on behalf of all who wait; the end of the first one's context does not stop the question.
func (d *ConstrainedDetector) learn(ctx context.Context, before *detected) *detected {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), constrainedTimeout)
	defer cancel()
	constrained, err := d.ask(ctx)
	age := constrainedAge
	if err != nil {
		age = failureAge
		if errors.Is(err, errRefused) {
			age = refusedAge
		}
		constrained = before.constrained
		d.log.Warn("cannot learn whether the API server offers constrained impersonation", "error", err.Error(), "assumed", constrained)
	}
	return &detected{constrained, d.now().Add(age)}
}

// ask sends a group to impersonate without a user, which no API server takes, whatever edge may do. Before any right is
// looked at, each of its two implementations refuses in words of its own. What it does allow or forbid tells less: a
// refusal is about the mode that worked last, and that differs from one replica to the next.
func (d *ConstrainedDetector) ask(ctx context.Context) (bool, error) {
	base, _, err := rest.DefaultServerUrlFor(d.config)
	if err != nil {
		return false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("/version").String(), nil)
	if err != nil {
		return false, err
	}
	r.Header.Set(groupHeader, "edge-asks-what-is-offered")
	resp, err := d.upstream.RoundTrip(r) // which follows no redirect
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxConstrainedAnswer))
	if err != nil {
		return false, err
	}
	const plain, constrained = "without impersonating a user", "without impersonating a user name"
	switch text := string(said); {
	case resp.StatusCode == http.StatusBadRequest && strings.Contains(text, constrained):
		return true, nil
	case resp.StatusCode == http.StatusBadRequest && strings.Contains(text, plain):
		return false, nil
	case resp.StatusCode == http.StatusUnauthorized:
		return false, errRefused
	}
	return false, fmt.Errorf("GET /version with a group to impersonate and no user was answered %s", resp.Status)
}
