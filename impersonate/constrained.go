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
	// offerAge is how long an answer counts; an API server changes its mind when it is upgraded. failureAge is how long it is
	// not asked again after it did not tell.
	offerAge   = 10 * time.Minute
	failureAge = time.Minute
	// refusedAge is how long it is not asked again after it did not accept edge's own credential, which may be mended at once.
	refusedAge = 5 * time.Second
	// offerTimeout bounds the asking, during which all wait who wish to be somebody else.
	offerTimeout = 5 * time.Second
	// maxOfferAnswer bounds, in bytes, what is read of the answer.
	maxOfferAnswer = 64 << 10
)

// An Offer knows whether the API server offers constrained impersonation (KEP-5284). It is for many goroutines, and has none.
type Offer struct {
	config   *rest.Config
	upstream http.RoundTripper
	log      *slog.Logger
	now      func() time.Time

	asking chan struct{}            // one question at a time
	known  atomic.Pointer[supports] // what was learned last
}

// supports says what the API server offers, until when that counts.
type supports struct {
	constrained bool
	until       time.Time
}

// NewOffer takes where the API server is, and a transport that sends edge's own credential. Nothing is asked before somebody
// wants to know.
func NewOffer(cfg *rest.Config, upstream http.RoundTripper, log *slog.Logger) *Offer {
	o := &Offer{config: rest.CopyConfig(cfg), upstream: upstream, log: log, now: time.Now, asking: make(chan struct{}, 1)}
	o.known.Store(new(supports))
	return o
}

// Constrained returns what was learned last, and asks when that was long ago. Who cannot be asked offers what it did before,
// and at first nothing: then only the plain right to impersonate counts. Whoever waits for another's question may leave, and
// takes what was learned before it.
func (o *Offer) Constrained(ctx context.Context) bool {
	if known := o.known.Load(); o.now().Before(known.until) {
		return known.constrained
	}
	select {
	case o.asking <- struct{}{}:
		defer func() { <-o.asking }()
	case <-ctx.Done():
		return o.known.Load().constrained
	}
	known := o.known.Load()
	if !o.now().Before(known.until) {
		known = o.learn(ctx, known)
		o.known.Store(known)
	}
	return known.constrained
}

// learn asks on behalf of all who wait; the end of the first one's context does not stop the question.
func (o *Offer) learn(ctx context.Context, before *supports) *supports {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), offerTimeout)
	defer cancel()
	constrained, err := o.ask(ctx)
	age := offerAge
	if err != nil {
		age = failureAge
		if errors.Is(err, errRefused) {
			age = refusedAge
		}
		constrained = before.constrained
		o.log.Warn("cannot learn whether the API server offers constrained impersonation", "error", err.Error(), "assumed", constrained)
	}
	return &supports{constrained, o.now().Add(age)}
}

var errRefused = errors.New("the API server does not accept edge's own credential")

// ask sends a group to impersonate without a user, which no API server takes, whatever edge may do. Before any right is looked
// at, each of its two implementations refuses in words of its own. What it does allow or forbid tells less: a refusal is about
// the mode that worked last, and that differs from one replica to the next.
func (o *Offer) ask(ctx context.Context) (bool, error) {
	base, _, err := rest.DefaultServerUrlFor(o.config)
	if err != nil {
		return false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("/version").String(), nil)
	if err != nil {
		return false, err
	}
	r.Header.Set(groupHeader, "edge-asks-what-is-offered")
	resp, err := o.upstream.RoundTrip(r) // which follows no redirect
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxOfferAnswer))
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
