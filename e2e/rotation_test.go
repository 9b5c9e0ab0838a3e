package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
)

const (
	// publishedAhead is how long the issuer publishes a new key before it signs with the key, so
	// that edge has fetched the key by then.
	publishedAhead = 10 * time.Second
	// strayPeriod is the interval at which the test sends tokens with an unknown key id.
	strayPeriod = time.Second / 5
)

// TestRotationWhileRequestsFlow checks a change of the issuer's key while users send requests with
// refreshed tokens. edge must refuse no valid token. At the same time, tokens with unknown key ids
// make edge fetch the issuer's keys as often as edge allows.
func TestRotationWhileRequestsFlow(t *testing.T) {
	t.Parallel()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	provider := startIssuer(t)
	edge := startEdge(t, testbed.EdgeOptions{Cluster: sites[cluster.New].cluster, Issuer: provider})
	f := startFlow(t, edge)
	defer f.stop()
	oldKey := provider.KeyID()
	oldToken, err := provider.Login(ctx, "alice")
	must(err)
	for _, user := range []string{"alice", "bob"} {
		f.add(refreshing(provider, user))
	}
	f.running.Go(func() { sendStrays(f.ctx, t, provider, edge) })

	f.await(oldKey)
	must(provider.PublishKey(ctx))
	time.Sleep(publishedAhead)
	must(provider.SignWithNewKey(ctx))
	newKey := provider.KeyID()
	f.await(newKey)
	f.excuse(oldKey)
	must(provider.WithdrawOldKeys(ctx))

	c := newCaller(t, edge.Access(""))
	eventually(ctx, t, phaseLimit, "a token of the withdrawn key is refused", func(ctx context.Context) error {
		code, body, err := c.get(ctx, podsURI, oldToken)
		if err == nil && code != http.StatusUnauthorized {
			err = fmt.Errorf("%d %s", code, body)
		}
		return err
	})
	f.await(newKey)
	f.stop()
	t.Logf("answered: %d with the old key's tokens, %d with the new one's", f.count(oldKey).Load(), f.count(newKey).Load())
}

// refreshing returns a function that returns a new token of the user: at its first call from a
// login, later from a refresh.
func refreshing(provider *issuer.Issuer, user string) func(context.Context) (signed, error) {
	var tokens issuer.Tokens
	return func(ctx context.Context) (signed, error) {
		var err error
		if tokens.Refresh == "" {
			tokens, err = provider.LoginOffline(ctx, user)
		} else {
			tokens, err = provider.Refresh(ctx, tokens.Refresh)
		}
		return signed{tokens.ID, keyOf(tokens.ID)}, err
	}
}

// sendStrays sends tokens with valid signatures but unknown key ids, one every strayPeriod. edge
// must refuse each of them.
func sendStrays(ctx context.Context, t *testing.T, provider *issuer.Issuer, edge *testbed.Edge) {
	c := newCaller(t, edge.Access(""))
	for i := 0; pause(ctx, strayPeriod); i++ {
		token, err := provider.MintAs(fmt.Sprintf("nobody-%d", i), provider.Claims("alice"))
		if err != nil {
			t.Error(err)
			return
		}
		code, body, err := c.get(ctx, podsURI, token)
		if ctx.Err() == nil && (err != nil || code != http.StatusUnauthorized) {
			t.Errorf("a token of an unknown key: %d %s, %v", code, body, err)
		}
	}
}

// keyOf returns the key id in a token's header (RFC 7515, section 4.1.4).
func keyOf(token string) string {
	encoded, _, _ := strings.Cut(token, ".")
	var header struct{ Kid string }
	if text, err := base64.RawURLEncoding.DecodeString(encoded); err == nil {
		json.Unmarshal(text, &header)
	}
	return header.Kid
}
