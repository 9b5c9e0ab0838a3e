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
	// constrainedAge is how long edge uses the detected answer whether the API server offers
	// constrained impersonation. The answer changes when the API server is upgraded. failureAge is
	// how long edge waits after a failed detection before it tries again.
	constrainedAge = 10 * time.Minute
	failureAge     = time.Minute
	// refusedAge is how long edge waits before it tries to detect constrained impersonation again,
	// if the API server refused edge's own credential. It is short, because the credential may be
	// valid again soon.
	refusedAge = 5 * time.Second
	// constrainedTimeout bounds the detection whether the API server offers constrained
	// impersonation. All requests that impersonate wait for the detection.
	constrainedTimeout = 5 * time.Second
	// maxConstrainedAnswer bounds how much of the API server's response to the detection edge
	// reads, in bytes.
	maxConstrainedAnswer = 64 << 10
)

// A ConstrainedDetector detects whether the API server offers constrained impersonation (KEP-5284).
// It is safe for concurrent use and starts no goroutine.
type ConstrainedDetector struct {
	config   *rest.Config
	upstream http.RoundTripper
	log      *slog.Logger
	now      func() time.Time

	asking chan struct{}            // capacity 1: contains an element while a detection of constrained impersonation runs
	known  atomic.Pointer[detected] // result of the newest detection of constrained impersonation
}

// detected is the answer whether the API server offers constrained impersonation, and until when
// the answer counts.
type detected struct {
	constrained bool
	until       time.Time
}

// NewConstrainedDetector takes the API server's address from cfg. upstream must send edge's own
// credential. The detector sends nothing before the first call of [ConstrainedDetector.Offered].
func NewConstrainedDetector(cfg *rest.Config, upstream http.RoundTripper, log *slog.Logger) *ConstrainedDetector {
	d := &ConstrainedDetector{
		config: rest.CopyConfig(cfg), upstream: upstream, log: log, now: time.Now, asking: make(chan struct{}, 1),
	}
	d.known.Store(new(detected))
	return d
}

// Offered reports whether the API server offers constrained impersonation, as last detected. It
// detects again if that result is out of date. If a detection fails, the previous result stays.
// Before the first successful detection the result is false: then only the plain right to
// impersonate counts. If ctx ends while Offered waits for the detection of another caller, Offered
// returns the previous result.
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

// learn detects whether the API server offers constrained impersonation, on behalf of all callers
// that wait. The end of the first caller's context does not stop the detection.
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
		d.log.Warn("failed to detect whether the API server offers constrained impersonation", "error", err.Error(), "assumed", constrained)
	}
	return &detected{constrained, d.now().Add(age)}
}

// ask detects constrained impersonation: it sends a request that impersonates a group, but no user.
// Every API server refuses this request before it checks any right. So the result does not depend
// on edge's rights. The message of the refusal shows whether the API server offers constrained or
// only plain impersonation. A request that is refused for a missing right would not show this
// reliably: its message is about the mode (the kind of right to impersonate) that last worked for
// edge, and each replica of the API server may have stored another mode.
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
	resp, err := d.upstream.RoundTrip(r) // RoundTrip follows no redirect
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
	return false, fmt.Errorf("GET /version with Impersonate-Group and without Impersonate-User returned %s", resp.Status)
}
