package authn

import (
	"encoding/base64"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxHeaders bounds the headers that are remembered: an issuer writes the same one into all tokens of one key.
	maxCachedHeaders = 64
	// maxHeaderBytes bounds each of them.
	maxCachedHeaderBytes = 1 << 10
)

// parts are a token's (RFC 7515 section 7.1). Nothing of them is verified.
type compactJWS struct {
	encodedHeader string          // of the header, still encoded
	header        *jose.Signature // what text says, and no signature; may be shared: read it only
	payload       []byte
	signature     []byte
}

// split decodes payload and signature. ok is false unless there are three parts, and these two are base64url without padding.
// Decoders are more lenient with line breaks; one spelling is enough.
func splitJWS(token string) (p compactJWS, ok bool) {
	if strings.Count(token, ".") != 2 || strings.Contains(token, "\r") || strings.Contains(token, "\n") {
		return compactJWS{}, false
	}
	text, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	p.encodedHeader = text
	var err, wrong error
	p.payload, err = base64.RawURLEncoding.DecodeString(payload)
	p.signature, wrong = base64.RawURLEncoding.DecodeString(signature)
	return p, err == nil && wrong == nil
}

// readHeader has go-jose read a header, as that of a token without payload and signature.
func readHeader(text string, algs []jose.SignatureAlgorithm) (*jose.Signature, error) {
	jws, err := jose.ParseSignedCompact(text+"..", algs)
	if err != nil {
		return nil, err
	}
	return &jws.Signatures[0], nil
}

// verify reports whether a key signed the token.
func (p *compactJWS) verify(key any) bool {
	jws := jose.JSONWebSignature{Signatures: []jose.Signature{*p.header}}
	jws.Signatures[0].Signature = p.signature
	return jws.DetachedVerify(p.payload, key) == nil
}

// headers remembers how the headers of good tokens were read. Its zero value is ready, and safe for use by many goroutines.
type headerCache struct {
	mu     sync.RWMutex
	byText map[string]*jose.Signature // by text
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
