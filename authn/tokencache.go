package authn

import (
	"crypto/sha256"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
)

const (
	// maxCachedTokens bounds the number of cached tokens. The limit is enough for the users of a
	// large cluster at one time.
	maxCachedTokens = 4096
	// maxCachedTokenBytes bounds the length of a cached token, and so the memory for its groups: 64
	// MiB for the whole cache.
	maxCachedTokenBytes = 16 << 10
)

// digest is the SHA-256 of a token and identifies the token. To find another token with the same
// digest is as hard as to forge a signature.
type digest = [sha256.Size]byte

// tokenCache caches the most recently used verified tokens of all issuers. The key is the token's
// SHA-256: the cache never contains a token itself. tokenCache is safe for concurrent use. Finding
// a cached token allocates no memory.
type tokenCache struct{ lru *cache.LRUExpireCache }

func newTokenCache() tokenCache { return tokenCache{cache.NewLRUExpireCache(maxCachedTokens)} }

// cachedToken is the result of a verified token in the cache. It is valid as long as the
// configuration of its issuer and the issuer's keys do not change, and the token does not expire.
type cachedToken struct {
	issuer   *issuer
	keys     *keySet // the issuer's keys at the time when the verification started
	verified Verified
}

// holds reports whether the cached result is still valid: the token has not expired, and its issuer
// in rules has the same configuration and keys.
func (c *cachedToken) holds(rules *ruleSet, now time.Time) bool {
	return !c.verified.Expires.Before(now) && rules.has(c.issuer) && c.issuer.source.ring.current.Load() == c.keys
}

// get returns the cached result for a token if the function good reports that the result is still
// valid. If it is not valid, get removes it from the cache.
func (c tokenCache) get(token digest, good func(*cachedToken) bool) (Verified, bool) {
	value, ok := c.lru.Get(token)
	if !ok {
		return Verified{}, false
	}
	known := value.(*cachedToken)
	if !good(known) {
		// Another request may have cached a newer result since Get. Remove then removes the newer
		// result. This only costs time: edge verifies the token once more.
		c.lru.Remove(token)
		return Verified{}, false
	}
	return known.verified, true
}

// untilEvicted is the lifetime of an entry in the LRU cache: it disables the cache's own expiry.
// cachedToken.holds checks whether a token has expired, with the Authenticator's clock.
const untilEvicted = time.Duration(math.MaxInt64)

func (c tokenCache) put(token digest, known cachedToken) { c.lru.Add(token, &known, untilEvicted) }

// sweep removes all cached tokens for which the function good returns false, so that no result of
// an old configuration stays in memory.
func (c tokenCache) sweep(good func(*cachedToken) bool) {
	// lru.Keys returns the least recently used token first. Reading all entries in this order keeps
	// the order in which they will be evicted.
	for _, token := range c.lru.Keys() {
		if value, ok := c.lru.Get(token); ok && !good(value.(*cachedToken)) {
			c.lru.Remove(token)
		}
	}
}
