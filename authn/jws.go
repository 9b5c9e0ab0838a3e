package authn

import (
	"encoding/base64"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// maxJOSEHeaderBytes bounds the first part of a token, the JOSE header, in bytes of base64url.
// go-jose decodes every member of a header before the signature is checked: it allocated 77 MiB for
// a header of 900 KiB. A real header has less than 1 KiB, or several KiB if it contains a
// certificate chain.
const maxJOSEHeaderBytes = 64 << 10

// compactJWS is a token split into its three parts: header, payload and signature (RFC 7515 section
// 7.1). None of them is verified.
type compactJWS struct {
	encodedHeader string
	header        *jose.Signature // the field encodedHeader decoded, without signature; several tokens share the value: read only
	payload       []byte
	signature     []byte
}

// splitJWS splits a token, and decodes its payload and signature. ok is false unless the token has
// three parts, and payload and signature are base64url without padding. Go's base64 decoder ignores
// line breaks. splitJWS refuses line breaks, so that a token has only one spelling.
func splitJWS(token string) (j compactJWS, ok bool) {
	if strings.Count(token, ".") != 2 || strings.Contains(token, "\r") || strings.Contains(token, "\n") {
		return compactJWS{}, false
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	j.encodedHeader = header
	var err, wrong error
	j.payload, err = base64.RawURLEncoding.DecodeString(payload)
	j.signature, wrong = base64.RawURLEncoding.DecodeString(signature)
	return j, err == nil && wrong == nil
}

// readHeader decodes the header of a token with go-jose. go-jose reads only whole tokens, so
// readHeader adds an empty payload and signature.
func readHeader(encoded string, algs []jose.SignatureAlgorithm) (*jose.Signature, error) {
	jws, err := jose.ParseSignedCompact(encoded+"..", algs)
	if err != nil {
		return nil, err
	}
	return &jws.Signatures[0], nil
}

// verify reports whether key signed the token.
func (j *compactJWS) verify(key any) bool {
	jws := jose.JSONWebSignature{Signatures: []jose.Signature{*j.header}}
	jws.Signatures[0].Signature = j.signature
	return jws.DetachedVerify(j.payload, key) == nil
}
