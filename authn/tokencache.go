package authn

import (
	"crypto/sha256"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
)

const (
	// maxCachedTokens bounds how many verified tokens are remembered: the users of a large cluster at one time.
	maxCachedTokens = 4096
	// maxCachedTokenBytes bounds the tokens that are remembered, and with them what their groups occupy: 64 MiB in all.
	maxCachedTokenBytes = 16 << 10
)

// digest stands for a token. Finding another token with the same one is as hard as forging a signature.
type digest = [sha256.Size]byte

// tokenCache remembers verified tokens, the most recently used ones. It is safe for use by many goroutines. A hit
// allocates nothing.
type tokenCache struct{ lru *cache.LRUExpireCache }

func newTokenCache() tokenCache { return tokenCache{cache.NewLRUExpireCache(maxCachedTokens)} }

// cachedToken is a verified token. It is good as long as issuer is still configured like this and its keys are still
// these.
type cachedToken struct {
	issuer   *issuer
	keys     *keySet // in hand when the token was verified
	verified Verified
}

// holds reports whether a token would still be accepted as it was, under these rules.
func (c *cachedToken) holds(rules *ruleSet, now time.Time) bool {
	return !c.verified.Expires.Before(now) && rules.has(c.issuer) && c.issuer.source.ring.current.Load() == c.keys
}

// get returns what is known of a token, if good says that it still holds. What does not is forgotten.
func (c tokenCache) get(token digest, good func(*cachedToken) bool) (Verified, bool) {
	value, ok := c.lru.Get(token)
	if !ok {
		return Verified{}, false
	}
	known := value.(*cachedToken)
	if !good(known) {
		c.lru.Remove(token) // perhaps a newer one that was put meanwhile: its token is verified once more
		return Verified{}, false
	}
	return known.verified, true
}

// untilEvicted leaves it to cachedToken.holds, which has the Authenticator's clock, when a token is past.
const untilEvicted = time.Duration(math.MaxInt64)

func (c tokenCache) put(token digest, known cachedToken) { c.lru.Add(token, &known, untilEvicted) }

// sweep forgets what good says no longer holds, so that nothing of old rules stays.
func (c tokenCache) sweep(good func(*cachedToken) bool) {
	for _, token := range c.lru.Keys() { // the least recently used first: to get them all does not change their order
		if value, ok := c.lru.Get(token); ok && !good(value.(*cachedToken)) {
			c.lru.Remove(token)
		}
	}
}
