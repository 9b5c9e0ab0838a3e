package authn

import (
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxCachedHeaders bounds the number of cached headers. An issuer normally writes the same
	// header into all tokens of one key.
	maxCachedHeaders = 64
	// maxCachedHeaderBytes bounds the length of each cached header, in bytes.
	maxCachedHeaderBytes = 1 << 10
)

// headerCache caches the decoded headers of good tokens. It saves decoding, but no check of a
// token. Its zero value is ready to use. It is safe for concurrent use.
type headerCache struct {
	mu     sync.RWMutex
	byText map[string]*jose.Signature // by the encoded header
}

// get returns nil for a header that is not cached.
func (h *headerCache) get(text string) *jose.Signature {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.byText[text]
}

// put caches a header that a key of an issuer signed. A full cache is emptied first: only an issuer
// that writes a different header into every token fills it.
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
