package authn

import (
	"crypto/sha256"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
)

const (
	// maxRemembered bounds how many verified tokens are remembered: the users of a large cluster at one time.
	maxCachedTokens = 4096
	// maxRememberedBytes bounds the tokens that are remembered, and with them what their groups occupy: 64 MiB in all.
	maxCachedTokenBytes = 16 << 10
)

// digest stands for a token. Finding another token with the same one is as hard as forging a signature.
type digest = [sha256.Size]byte

// memory remembers verified tokens, the most recently used ones. It is safe for use by many goroutines. A hit allocates nothing.
type tokenCache struct{ lru *cache.LRUExpireCache }

func newTokenCache() tokenCache { return tokenCache{cache.NewLRUExpireCache(maxCachedTokens)} }

// memo is one verified token. It is good as long as issuer is still configured like this and its keys are still these.
type cachedToken struct {
	issuer   *issuer
	keys     *keySet // in hand when the token was verified
	verified Verified
}

// holds reports whether a memo is still good under a configuration.
func (m *cachedToken) holds(conf *ruleSet, now time.Time) bool {
	return !m.verified.Expires.Before(now) && conf.has(m.issuer) && m.issuer.source.ring.current.Load() == m.keys
}

// get returns what is known of a token, if good says that it still holds. What does not is forgotten.
func (m tokenCache) get(token digest, good func(*cachedToken) bool) (Verified, bool) {
	value, ok := m.lru.Get(token)
	if !ok {
		return Verified{}, false
	}
	known := value.(*cachedToken)
	if !good(known) {
		m.lru.Remove(token) // perhaps a newer one that was put meanwhile: its token is verified once more
		return Verified{}, false
	}
	return known.verified, true
}

// untilEvicted leaves it to memo.holds, which has the Authenticator's clock, when a token is past.
const untilEvicted = time.Duration(math.MaxInt64)

func (m tokenCache) put(token digest, known cachedToken) { m.lru.Add(token, &known, untilEvicted) }

// sweep forgets what good says no longer holds, so that nothing of an old configuration stays.
func (m tokenCache) sweep(good func(*cachedToken) bool) {
	for _, token := range m.lru.Keys() { // the least recently used first: to get them all does not change their order
		if value, ok := m.lru.Get(token); ok && !good(value.(*cachedToken)) {
			m.lru.Remove(token)
		}
	}
}
