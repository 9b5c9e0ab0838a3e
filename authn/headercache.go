package authn

import (
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxCachedHeaders bounds the headers that are remembered: an issuer writes the same one into all tokens of one
	// key.
	maxCachedHeaders = 64
	// maxCachedHeaderBytes bounds each of them.
	maxCachedHeaderBytes = 1 << 10
)

// headerCache remembers how the headers of good tokens were read. Its zero value is ready, and safe for use by many
// goroutines.
type headerCache struct {
	mu     sync.RWMutex
	byText map[string]*jose.Signature // by the header as it is encoded
}

// get returns nil for a header that is not remembered.
func (h *headerCache) get(text string) *jose.Signature {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.byText[text]
}

// put is for a header that a key of an issuer signed. When there are too many, all are forgotten: that comes of an issuer that
// writes another one into every token.
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
	h.byText[strings.Clone(text)] = header // text is a part of the token, which nobody keeps
}
