package authn

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func (m tokenCache) len() int { return len(m.lru.Keys()) }

// TestTokenCacheIsBounded checks that the number of cached tokens is bounded, and that the least
// recently used token is evicted.
func TestTokenCacheIsBounded(t *testing.T) {
	m := newTokenCache()
	id := func(n int) (d digest) { copy(d[:], fmt.Sprint(n)); return d }
	holds := func(*cachedToken) bool { return true }
	for n := range 2 * maxCachedTokens {
		m.put(id(n), cachedToken{verified: Verified{Issuer: fmt.Sprint(n)}})
		if _, ok := m.get(id(0), holds); !ok {
			t.Fatalf("the token that is used all the time was forgotten after %d others", n)
		}
	}
	if n := m.len(); n != maxCachedTokens {
		t.Errorf("%d entries, want %d", n, maxCachedTokens)
	}
	if _, ok := m.get(id(1), holds); ok {
		t.Error("the token that was used once, and longest ago, is still remembered")
	}
	m.sweep(func(known *cachedToken) bool { return known.verified.Issuer == "0" })
	if _, ok := m.get(id(0), holds); !ok || m.len() != 1 {
		t.Errorf("after all but one no longer hold: %d entries", m.len())
	}
}

// TestTokenCacheForgets checks that a cached result counts only for the same token, only with the
// issuer's configuration and keys that verified the token, and only until the token expires.
func TestTokenCacheForgets(t *testing.T) {
	now := time.Now()
	i := &issuer{source: newKeySource(keyOrigin{issuer: "https://issuer.example"}, time.Now)}
	i.spec.Issuer.URL = i.source.issuer
	rules := &ruleSet{issuers: map[string]*issuer{i.source.issuer: i}}
	again := *i
	ring := i.source.ring
	get := func(m tokenCache, token digest, rules *ruleSet, now time.Time) bool {
		_, ok := m.get(token, func(m *cachedToken) bool { return m.holds(rules, now) })
		return ok
	}
	for name, found := range map[string]func(tokenCache) bool{
		"another token":    func(m tokenCache) bool { return get(m, digest{2}, rules, now) },
		"after it is past": func(m tokenCache) bool { return get(m, digest{1}, rules, now.Add(time.Minute+1)) },
		"no issuer":        func(m tokenCache) bool { return get(m, digest{1}, &ruleSet{}, now) },
		"issuer changed": func(m tokenCache) bool {
			return get(m, digest{1}, &ruleSet{issuers: map[string]*issuer{i.source.issuer: &again}}, now)
		},
		"other keys": func(m tokenCache) bool {
			key := rsaKey()
			ring.replace([]jose.JSONWebKey{key.Public()})
			defer ring.replace(nil)
			return get(m, digest{1}, rules, now)
		},
	} {
		m := newTokenCache()
		m.put(digest{1}, cachedToken{i, ring.current.Load(), Verified{Expires: now.Add(time.Minute)}})
		if !get(m, digest{1}, rules, now.Add(time.Minute)) {
			t.Fatal("not remembered at all")
		}
		if found(m) {
			t.Errorf("%s: remembered", name)
		}
	}
}

func TestRememberedAllocations(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	a := start(t, i.config(t))
	token := sign(t, rsaKey(), i.claims(map[string]any{"groups": strings.Fields(strings.Repeat("group ", 20))}))
	if n := testing.AllocsPerRun(100, func() {
		if _, err := a.Authenticate(context.Background(), token); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations for a remembered token, want the one that is hashed", n)
	}
}
