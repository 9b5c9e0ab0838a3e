package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// outage is how long the issuer is down in the test: as long as edge's longest interval between two
// fetches of an issuer's keys.
const outage = 5 * time.Minute

// TestIssuerDown checks requests with tokens while the issuer is down. They must succeed, also with
// new tokens, if edge already has the key. The readiness probe must report the outage. An edge that
// starts during the outage must not be ready until the issuer is back.
func TestIssuerDown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), outage+5*time.Minute)
	defer cancel()
	provider := startIssuer(t)
	at := testbed.EdgeOptions{Cluster: sites[cluster.New].cluster, Issuer: provider}
	edge := startEdge(t, at)
	known, err := provider.Login(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	c := newCaller(t, edge.Access(""))
	checkKnown := func() {
		t.Helper()
		if code, body, err := c.get(ctx, podsURI, known); err != nil || code != http.StatusOK {
			t.Errorf("a known token: %d %s, %v", code, body, err)
		}
	}
	checkKnown()

	provider.Stop()
	up := time.Now().Add(outage)
	at.NoWait = true
	late := startEdge(t, at)
	eventually(ctx, t, patience, "the late edge says what it waits for", func(ctx context.Context) error {
		code, body, err := late.Ready(ctx)
		if err == nil && (code != http.StatusServiceUnavailable || !strings.Contains(body, provider.URL)) {
			err = fmt.Errorf("/ready: %d %s", code, body)
		}
		return err
	})
	if a := raw(ctx, t, late.Access(known), "GET", podsURI, askJSON); a.code != 503 || a.status().Code != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("a request to the late edge: %v %v, want 503 with a Status and Retry-After", a, a.header)
	}

	told := false
	for time.Now().Before(up) {
		checkKnown()
		fresh, err := provider.Mint(provider.Claims("bob"))
		if err != nil {
			t.Fatal(err)
		}
		if code, body, err := c.get(ctx, podsURI, fresh); err != nil || code != http.StatusOK {
			t.Errorf("a new token of a known key: %d %s, %v", code, body, err)
		}
		// a token whose key id edge does not know, so that edge tries to fetch the issuer's keys
		stranger, err := provider.MintAs("nobody", provider.Claims("bob"))
		if err != nil {
			t.Fatal(err)
		}
		if code, body, err := c.get(ctx, podsURI, stranger); err != nil || code != http.StatusUnauthorized {
			t.Errorf("a token of an unknown key: %d %s, %v", code, body, err)
		}
		code, body, err := edge.Ready(ctx)
		if err != nil || code != http.StatusOK {
			t.Errorf("/ready: %d %s, %v", code, body, err)
		}
		told = told || strings.Contains(body, provider.URL)
		if code, body, err := late.Ready(ctx); err != nil || code != http.StatusServiceUnavailable {
			t.Errorf("the late edge's /ready: %d %s, %v", code, body, err)
		}
		if t.Failed() || !pause(ctx, time.Second) {
			t.FailNow()
		}
	}
	if !told {
		t.Error("/ready never reported that the issuer cannot be reached")
	}

	if err := provider.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := late.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	after, err := provider.Login(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*testbed.Edge{"edge": edge, "the late edge": late} {
		if a := raw(ctx, t, e.Access(after), "GET", podsURI, askJSON); a.code != 200 {
			t.Errorf("%s, when the issuer is back: %v", name, a)
		}
	}
	eventually(ctx, t, patience, "/ready says no more that the issuer cannot be reached", func(ctx context.Context) error {
		code, body, err := edge.Ready(ctx)
		if err == nil && (code != http.StatusOK || strings.Contains(body, provider.URL)) {
			err = fmt.Errorf("/ready: %d %s", code, body)
		}
		return err
	})
}
