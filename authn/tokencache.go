package authn

import (
	"crypto/sha256"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
)

const (
	// maxCachedTokens bounds the number of cached tokens: the users of a large cluster at one time.
	maxCachedTokens = 4096
	// maxCachedTokenBytes bounds the length of a cached token, and so the memory for its groups: 64
	// MiB for the whole cache.
	maxCachedTokenBytes = 16 << 10
)

// digest identifies a token. To find another token with the same digest is as hard as to forge a
// signature.
type digest = [sha256.Size]byte

// tokenCache caches the most recently used verified tokens of all issuers, by their SHA-256. It
// never contains a token itself. It is safe for concurrent use. A hit allocates no memory.
type tokenCache struct{ lru *cache.LRUExpireCache }

func newTokenCache() tokenCache { return tokenCache{cache.NewLRUExpireCache(maxCachedTokens)} }

// cachedToken is a verified token. It is valid as long as the configuration of its issuer and the
// issuer's keys do not change.
type cachedToken struct {
	issuer   *issuer
	keys     *keySet // current keys when the verification started
	verified Verified
}

// holds reports whether these rules would still accept the token, with the same user.
func (c *cachedToken) holds(rules *ruleSet, now time.Time) bool {
	return !c.verified.Expires.Before(now) && rules.has(c.issuer) && c.issuer.source.ring.current.Load() == c.keys
}

// get returns the cached result for a token, if good reports that it is still valid. Otherwise get
// removes the entry.
func (c tokenCache) get(token digest, good func(*cachedToken) bool) (Verified, bool) {
	value, ok := c.lru.Get(token)
	if !ok {
		return Verified{}, false
	}
	known := value.(*cachedToken)
	if !good(known) {
		c.lru.Remove(token) // this may remove a newer entry; its token is then verified once more
		return Verified{}, false
	}
	return known.verified, true
}

// untilEvicted disables the expiry of the LRU cache. cachedToken.holds checks whether a token has
// expired, with the Authenticator's clock.
const untilEvicted = time.Duration(math.MaxInt64)

func (c tokenCache) put(token digest, known cachedToken) { c.lru.Add(token, &known, untilEvicted) }

// sweep removes all entries that good reports as no longer valid, so that no result of old rules
// stays in memory.
func (c tokenCache) sweep(good func(*cachedToken) bool) {
	// Keys returns the least recently used token first, so that reading all entries keeps their
	// order.
	for _, token := range c.lru.Keys() {
		if value, ok := c.lru.Get(token); ok && !good(value.(*cachedToken)) {
			c.lru.Remove(token)
		}
	}
}
