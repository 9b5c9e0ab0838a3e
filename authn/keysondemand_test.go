package authn

import (
	"context"
	"net/http"
	"testing"

	"edge/internal/testkit"
)

// slowIssuer makes an issuer answer requests for its keys only after release is closed. The channel
// asked receives an element for each request for the keys that begins, and left receives one for
// each that edge cancels.
func slowIssuer(i *testIssuer) (asked, left, release chan struct{}) {
	asked, left, release = make(chan struct{}, 8), make(chan struct{}, 8), make(chan struct{})
	then := *i.jwks.Load()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
			then(w, r)
		case <-r.Context().Done():
			left <- struct{}{}
		}
	})
	i.jwks.Store(&h)
	return asked, left, release
}

// TestWaitingIsBounded checks that requests waiting for a slow issuer are bounded, end when their
// client disconnects, and delay no other request.
func TestWaitingIsBounded(t *testing.T) {
	const more = 40
	i := newTestIssuer(t, rsaKey())
	clock := newClock()
	cfg := i.config(t)
	cfg.Now = clock.Now
	a := start(t, cfg)
	good := sign(t, rsaKey(), i.claims(nil))
	asked, left, release := slowIssuer(i)
	clock.advance(demandInterval)

	unknown := unsigned(map[string]any{"alg": "RS256", "kid": "?"}, i.claims(nil), "x")
	refusals := make(chan Reason, maxWaiting+more)
	ctx, leave := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() { _, err := a.Authenticate(ctx, unknown); gone <- err }()
	<-asked
	for range maxWaiting + more {
		go func() { refusals <- refusal(t, a, unknown) }()
	}
	for range more { // more requests than maxWaiting were sent; the surplus is refused at once, without waiting for keys
		if got := <-refusals; got != ReasonSignature {
			t.Errorf("refused as %q", got)
		}
	}
	if got := refusal(t, a, good); got != "" {
		t.Errorf("a good token meanwhile: %q", got)
	}
	if len(left) != 0 {
		t.Error("the fetch is over: these did not turn back, they waited in vain")
	}
	leave()
	if err := <-gone; err == nil {
		t.Error("a forged token was accepted")
	}
	if len(left) != 0 {
		t.Error("the fetch is over: a client that went was waited for")
	}
	close(release)
	for range maxWaiting {
		if got := <-refusals; got != ReasonSignature {
			t.Errorf("refused as %q", got)
		}
	}
}

// TestRunEnds checks that no request waits after Run has ended, and that the last keys stay in use.
func TestRunEnds(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	clock := newClock()
	cfg := i.config(t)
	cfg.Now = clock.Now
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	testkit.WaitFor(t, "the keys", func() bool { return a.Ready() == nil })

	asked, left, _ := slowIssuer(i)
	clock.advance(demandInterval)
	unknown := unsigned(map[string]any{"alg": "RS256", "kid": "?"}, i.claims(nil), "x")
	waited := make(chan Reason)
	go func() { waited <- refusal(t, a, unknown) }()
	<-asked
	end()
	<-done
	<-left
	if got := <-waited; got != ReasonSignature {
		t.Errorf("who waited was refused as %q", got)
	}
	clock.advance(demandInterval)
	if got := refusal(t, a, unknown); got != ReasonSignature {
		t.Errorf("refused as %q", got)
	}
	if got := refusal(t, a, sign(t, rsaKey(), i.claims(nil))); got != "" || a.Ready() != nil {
		t.Errorf("a good token after Run: %q, %v", got, a.Ready())
	}
}
