package authn

import (
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxCachedHeaders bounds the number of cached token headers (the first part of a JWT). An
	// issuer normally writes the same header into all tokens that it signs with one key.
	maxCachedHeaders = 64
	// maxCachedHeaderBytes bounds the length of each cached token header, in bytes.
	maxCachedHeaderBytes = 1 << 10
)

// headerCache caches the decoded headers of tokens whose signature was verified. It saves the
// decoding of the same header for the next token. Every check of a token is still made. The zero
// value is ready to use. headerCache is safe for concurrent use.
type headerCache struct {
	mu     sync.RWMutex
	byText map[string]*jose.Signature // key: the token's header in base64url, as in the token
}

// get returns the decoded form of a token's header, or nil if it is not cached.
func (h *headerCache) get(text string) *jose.Signature {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.byText[text]
}

// put caches the header of a token that a key of an issuer signed. If the cache is full, put first
// removes all its entries: the cache gets full only if an issuer writes a different header into
// every token.
func (h *headerCache) put(text string, header *jose.Signature) {
	if len(text) > maxCachedHeaderBytes {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byText[text] != nil {
		return
	}
	if h.byText == nil || len(h.byText) >= maxCachedHeaders {
		h.byText = make(map[string]*jose.Signature)
	}
	// text is a part of the token. Clone it, so that the cache does not keep the token in memory.
	h.byText[strings.Clone(text)] = header
}
