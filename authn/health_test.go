package authn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"

	"edge/internal/testkit"
)

// TestWarnings checks that the keys of one issuer are enough to be ready, and that Warnings report
// an issuer without keys or whose keys cannot be renewed.
func TestWarnings(t *testing.T) {
	one, two := newTestIssuer(t, rsaKey()), newTestIssuer(t, ecKey())
	two.down()
	clock := newClock()
	file := writeConfig(t, &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{one.accepts("1:"), two.accepts("2:")}}, "v1")
	cfg := Options{File: file, Now: clock.Now}
	began := clock.Now()
	a := startPaced(t, cfg, often)
	testkit.WaitFor(t, "the keys of one, and the failure of the other", func() bool { return a.Ready() == nil && len(a.Warnings()) == 1 })
	since := func(at time.Time) string { return "since " + at.UTC().Format(time.RFC3339) }
	warnings := a.Warnings()
	if !strings.Contains(warnings[0], two.URL) || !strings.Contains(warnings[0], since(began)) || !strings.Contains(warnings[0], "(0 still in use)") || !strings.Contains(warnings[0], "500") {
		t.Error(warnings)
	}
	if _, err := a.Authenticate(context.Background(), sign(t, ecKey(), two.claims(nil))); !errors.Is(err, ErrNotReady) {
		t.Errorf("a token of the issuer that is down: %v", err)
	}
	if got := nameOf(t, a, sign(t, rsaKey(), one.claims(nil))); got != "1:jane" {
		t.Error(got)
	}
	// Now the second issuer has keys and the first issuer's server fails. Warnings report when the
	// fetches began to fail, and not the time of the newest fetch.
	two.discover(map[string]any{"issuer": two.URL, "jwks_uri": two.URL + "/keys"})
	two.publish(ecKey())
	testkit.WaitFor(t, "the warning to go", func() bool { return len(a.Warnings()) == 0 })
	one.down()
	testkit.WaitFor(t, "a warning", func() bool { return len(a.Warnings()) == 1 })
	clock.advance(time.Hour)
	before := one.discoveries.Load()
	testkit.WaitFor(t, "more attempts", func() bool { return one.discoveries.Load() > before+3 })
	if warnings := a.Warnings(); len(warnings) != 1 || !strings.Contains(warnings[0], one.URL) || !strings.Contains(warnings[0], since(began)) || !strings.Contains(warnings[0], "(1 still in use)") {
		t.Error(warnings)
	}
	// If edge has keys of no issuer, the error names the first maxReadyProblems issuers.
	many := &apiserver.AuthenticationConfiguration{}
	for n := range 6 {
		many.JWT = append(many.JWT, fromFlags(Flags{IssuerURL: fmt.Sprintf("https://127.0.0.1:1/%d", n), ClientID: "edge"}))
	}
	dark := startPaced(t, Options{File: writeConfig(t, many, "v1")}, often)
	testkit.WaitFor(t, "all failures", func() bool { return len(dark.Warnings()) == 6 })
	err := dark.Ready()
	if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "https://127.0.0.1:1/0") || !strings.Contains(err.Error(), "and 3 more") || len(err.Error()) > 1500 {
		t.Error(err)
	}
	if warnings := dark.Warnings(); !slices.IsSorted(warnings) {
		t.Error(warnings)
	}
}

// TestDiscoveryURL checks that the configuration may give another URL for the discovery document,
// and that the document must still name the issuer.
func TestDiscoveryURL(t *testing.T) {
	const name = "https://issuer.example/realm"
	i := newTestIssuer(t, rsaKey())
	spec := i.accepts("1:")
	spec.Issuer.URL, spec.Issuer.DiscoveryURL = name, i.URL+wellKnown
	i.discover(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	a := startPaced(t, Options{File: writeConfig(t, &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{spec}}, "v1")}, often)
	testkit.WaitFor(t, "an attempt", func() bool { return a.Ready() != ErrNotReady })
	if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "did not match") {
		t.Errorf("a document of another issuer: %v", err)
	}
	i.discover(map[string]any{"issuer": name, "jwks_uri": i.URL + "/keys"})
	testkit.WaitFor(t, "the keys", func() bool { return a.Ready() == nil })
	if got := nameOf(t, a, sign(t, rsaKey(), i.claims(map[string]any{"iss": name}))); got != "1:jane" {
		t.Error(got)
	}
	if got := refusal(t, a, sign(t, rsaKey(), i.claims(nil))); got != ReasonIssuer {
		t.Errorf("a token in the name of where the document is: %q", got)
	}
}
