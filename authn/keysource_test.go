package authn

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"edge/internal/testkit"
)

// often is a schedule of key fetches with the shortest intervals that a test can use.
var often = fetchSchedule{time.Millisecond, doubling(time.Millisecond, 4*time.Millisecond)}

// onlySource returns the keySource of the only issuer in the configuration.
func onlySource(a *Authenticator) *keySource {
	for _, i := range a.rules.Load().issuers {
		return i.source
	}
	return nil
}

func TestNotReady(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	token := sign(t, rsaKey(), i.claims(nil))
	never, err := New(i.config(t))
	if err != nil {
		t.Fatal(err)
	}
	// This Authenticator has no keys, because Run was not called.
	if _, err := never.Authenticate(context.Background(), token); err != ErrNotReady {
		t.Errorf("got %v", err)
	}
	if err := never.Ready(); !errors.Is(err, ErrNotReady) {
		t.Errorf("got %v", err)
	}

	// The issuer is down when edge starts, and is up later.
	i.down()
	log := &logBuffer{}
	cfg := i.config(t)
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	a := startPaced(t, cfg, often)
	testkit.WaitFor(t, "a few attempts", func() bool { return i.discoveries.Load() > 5 })
	if _, err := a.Authenticate(context.Background(), token); !errors.Is(err, ErrNotReady) {
		t.Errorf("got %v", err)
	}
	if err := a.Ready(); !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "500") || !strings.Contains(err.Error(), i.URL) {
		t.Errorf("Ready does not say what is wrong: %v", err)
	}
	i.discover(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	i.publish(rsaKey())
	testkit.WaitFor(t, "the keys", func() bool { return a.Ready() == nil })
	if got := refusal(t, a, token); got != "" {
		t.Errorf("refused as %q", got)
	}
	// The issuer is down again: the last keys stay in use, for new tokens as well.
	testkit.WaitFor(t, "a line for the keys", func() bool { return len(log.lines()) == 2 })
	i.down()
	before := i.keyFetches.Load() + i.discoveries.Load()
	testkit.WaitFor(t, "a few attempts", func() bool { return i.keyFetches.Load()+i.discoveries.Load() > before+10 })
	if got := refusal(t, a, sign(t, rsaKey(), i.claims(map[string]any{"sub": "joe"}))); got != "" || a.Ready() != nil {
		t.Errorf("issuer down: refused as %q, Ready says %v", got, a.Ready())
	}
	// The log has one line for each change between success and failure, and not for each failed
	// fetch.
	lines := log.lines()
	if len(lines) != 3 || !strings.Contains(lines[0], "WARN") || !strings.Contains(lines[1], "INFO") || !strings.Contains(lines[2], "WARN") {
		t.Errorf("log:\n%s", strings.Join(lines, "\n"))
	}
}

func TestKeyRotation(t *testing.T) {
	first, second := rsaKeyNamed("first"), rsaKeyNamed("second")
	i := newTestIssuer(t, first)
	clock := newClock()
	cfg := i.config(t)
	cfg.Now = clock.Now
	a := start(t, cfg)
	old, fresh := sign(t, first, i.claims(nil)), sign(t, second, i.claims(nil))
	if got := refusal(t, a, old); got != "" {
		t.Fatalf("the first key's token: %q", got)
	}
	// The issuer publishes the second key beside the first one, and signs with it 10 s later: edge
	// must refuse none of these tokens.
	i.publish(first, second)
	clock.advance(demandInterval)
	before := i.keyFetches.Load()
	results := make(chan Reason)
	const crowd = 50
	for range crowd {
		go func() { results <- refusal(t, a, fresh) }()
	}
	for range crowd {
		if got := <-results; got != "" {
			t.Errorf("the second key's token: %q", got)
		}
	}
	if n := i.keyFetches.Load() - before; n != 1 {
		t.Errorf("%d fetches for %d requests at once", n, crowd)
	}
	if got := refusal(t, a, old); got != "" {
		t.Errorf("the first key's token, beside the second: %q", got)
	}
	// The issuer withdraws the first key. edge notices this at the next fetch, whatever causes the
	// fetch, and refuses cached tokens of that key.
	i.publish(second)
	clock.advance(demandInterval)
	if got := refusal(t, a, unsigned(map[string]any{"alg": "RS256", "kid": "?"}, i.claims(nil), "x")); got != ReasonSignature {
		t.Errorf("a forged token: %q", got)
	}
	if got := refusal(t, a, old); got != ReasonSignature {
		t.Errorf("the withdrawn key's token: %q", got)
	}
	if got := refusal(t, a, fresh); got != "" {
		t.Errorf("the second key's token, alone: %q", got)
	}
}

// TestKeysAreRenewed checks that edge notices a withdrawn key at the periodic fetch, even if no
// token causes a fetch. An issuer may also withdraw all its keys.
func TestKeysAreRenewed(t *testing.T) {
	i := newTestIssuer(t, rsaKey(), ecKey())
	a := startPaced(t, i.config(t), often)
	testkit.WaitFor(t, "the keys", func() bool { return a.Ready() == nil })
	token := sign(t, rsaKey(), i.claims(nil))
	if got := refusal(t, a, token); got != "" {
		t.Fatalf("refused as %q", got)
	}
	// If the issuer publishes the same keys as before, cached tokens stay valid.
	same, before := onlySource(a).ring.current.Load(), i.keyFetches.Load()
	testkit.WaitFor(t, "renewals", func() bool { return i.keyFetches.Load() > before+3 })
	if onlySource(a).ring.current.Load() != same {
		t.Error("the same keys are taken for others")
	}
	i.publish(ecKey())
	testkit.WaitFor(t, "the withdrawal of one key", func() bool { return refusal(t, a, token) == ReasonSignature })
	i.publish()
	testkit.WaitFor(t, "the withdrawal of all keys", func() bool { return a.Ready() != nil })
	if _, err := a.Authenticate(context.Background(), token); !errors.Is(err, ErrNotReady) {
		t.Errorf("without any key: %v", err)
	}
	i.publish(rsaKey())
	testkit.WaitFor(t, "a key again", func() bool { return a.Ready() == nil })
	if got := refusal(t, a, token); got != "" {
		t.Errorf("refused as %q", got)
	}
}

// TestKeysMove checks that edge finds the keys at a new URL if the old URL fails, because edge
// reads the discovery document again after an error.
func TestKeysMove(t *testing.T) {
	// Both issuers have the same TLS certificate, because httptest has only one.
	i, elsewhere := newTestIssuer(t, rsaKey()), newTestIssuer(t, ecKey())
	cfg := i.config(t)
	cfg.Flags.SigningAlgs = []string{"RS256", "ES256"}
	a := startPaced(t, cfg, often)
	testkit.WaitFor(t, "the keys", func() bool { return a.Ready() == nil })
	i.discover(map[string]any{"issuer": i.URL, "jwks_uri": elsewhere.URL + "/keys"})
	i.jwks.Store(answer(http.StatusNotFound, "gone"))
	token := sign(t, ecKey(), i.claims(nil))
	testkit.WaitFor(t, "the keys in their new place", func() bool { return refusal(t, a, token) == "" })
}

// TestCAFile checks that edge verifies the issuer's TLS certificate with the CA file, and that edge
// reads the CA file again after the file has changed.
func TestCAFile(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	cfg := i.config(t)
	writeFile(t, cfg.Flags.CAFile, testkit.PEM(testkit.NewAuthority(t, "another").Cert))
	a := startPaced(t, cfg, often)
	testkit.WaitFor(t, "the certificate's refusal", func() bool {
		err := a.Ready()
		return err != nil && strings.Contains(err.Error(), "certificate")
	})
	if i.discoveries.Load() != 0 {
		t.Error("the issuer was asked, although its certificate is not trusted")
	}
	writeFile(t, cfg.Flags.CAFile, testkit.PEM(i.Certificate()))
	testkit.WaitFor(t, "the keys", func() bool { return a.Ready() == nil })
	// The CA file becomes unusable: edge reports this, and the current keys stay in use.
	writeFile(t, cfg.Flags.CAFile, []byte("no certificate"))
	testkit.WaitFor(t, "the failure", func() bool { text, _ := onlySource(a).problem(); return text != "" })
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
}

func TestIssuerAnswersBadly(t *testing.T) {
	text := func(body string) *http.HandlerFunc {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		return &h
	}
	redirect := func(to string) *http.HandlerFunc {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
		return &h
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("a request without TLS")
	}))
	defer plain.Close()
	tests := []struct {
		name   string
		change func(*testIssuer)
		says   string
	}{
		{"another issuer", func(i *testIssuer) { i.discover(map[string]any{"issuer": i.URL + "/", "jwks_uri": i.URL + "/keys"}) }, "did not match"},
		{"no jwks_uri", func(i *testIssuer) { i.discover(map[string]any{"issuer": i.URL}) }, "jwks_uri"},
		{"jwks_uri without TLS", func(i *testIssuer) { i.discover(map[string]any{"issuer": i.URL, "jwks_uri": plain.URL}) }, "not an https URL"},
		{"discovery redirects away from https", func(i *testIssuer) { i.discovery.Store(redirect(plain.URL)) }, "URL that is not https"},
		{"keys redirect away from https", func(i *testIssuer) { i.jwks.Store(redirect(plain.URL)) }, "URL that is not https"},
		{"redirects for ever", func(i *testIssuer) { i.jwks.Store(redirect("/keys")) }, "redirects"},
		{"discovery is a page", func(i *testIssuer) { i.discovery.Store(text("<html>")) }, "decode"},
		{"discovery without end", func(i *testIssuer) { i.discovery.Store(text(strings.Repeat(" ", maxDocumentBytes) + "{}")) }, "larger than"},
		{"keys without end", func(i *testIssuer) { i.jwks.Store(text(strings.Repeat(" ", maxDocumentBytes) + `{"keys":[]}`)) }, "larger than"},
		{"keys are a page", func(i *testIssuer) { i.jwks.Store(text("<html>")) }, "not a JWK Set"},
		{"keys are something else", func(i *testIssuer) { i.jwks.Store(text(`{"error":"busy"}`)) }, "no keys member"},
		{"too many keys", func(i *testIssuer) { i.jwks.Store(text(`{"keys":[{}` + strings.Repeat(",{}", maxKeys) + `]}`)) }, "more than"},
		{"no keys", func(i *testIssuer) { i.publish() }, "publishes no key"},
		{"only useless keys", func(i *testIssuer) {
			private, _ := rsaKey().MarshalJSON()
			i.jwks.Store(text(`{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"OKP","crv":"Ed448","x":"AA"},{"kty":"RSA"},7,` + string(private) + `]}`))
		}, "publishes no key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i := newTestIssuer(t, rsaKey())
			test.change(i)
			a := startPaced(t, i.config(t), often)
			testkit.WaitFor(t, "an attempt", func() bool { return a.Ready() != ErrNotReady })
			err := a.Ready()
			if err == nil || !strings.Contains(err.Error(), test.says) || len(err.Error()) > 500 {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
}

// TestUnknownKeysArePassedOver checks that edge ignores keys of unknown kinds and uses the other
// keys of the issuer.
func TestUnknownKeysArePassedOver(t *testing.T) {
	i := newTestIssuer(t)
	good, err := jose.JSONWebKey{Key: rsaKey().Key.(*rsa.PrivateKey).Public(), KeyID: "rsa"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"XYZ","kid":"rsa"},{"kty":"oct","kid":"rsa","k":"c2VjcmV0"},{"kty":"EC","crv":"secp256k1","kid":"rsa"},%s]}`, good)
	})
	i.jwks.Store(&h)
	a := start(t, i.config(t))
	if got := refusal(t, a, sign(t, rsaKey(), i.claims(nil))); got != "" {
		t.Errorf("refused as %q", got)
	}
}
