package authn

import (
	"encoding/base64"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// maxJOSEHeaderBytes bounds a token's first part, in base64url: go-jose makes a value of each of its members before a signature is
// looked at, 77 MiB out of 900 KiB. A real one has less than 1 KiB, with a certificate chain several.
const maxJOSEHeaderBytes = 64 << 10

// compactJWS is a token's three parts (RFC 7515 section 7.1). Nothing of them is verified.
type compactJWS struct {
	encodedHeader string
	header        *jose.Signature // what encodedHeader says, and no signature; may be shared: read it only
	payload       []byte
	signature     []byte
}

// splitJWS decodes payload and signature. ok is false unless there are three parts, and these two are base64url without
// padding. Decoders are more lenient with line breaks; one spelling is enough.
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

// readHeader has go-jose read a header, as that of a token without payload and signature.
func readHeader(encoded string, algs []jose.SignatureAlgorithm) (*jose.Signature, error) {
	jws, err := jose.ParseSignedCompact(encoded+"..", algs)
	if err != nil {
		return nil, err
	}
	return &jws.Signatures[0], nil
}

// verify reports whether a key signed the token.
func (j *compactJWS) verify(key any) bool {
	jws := jose.JSONWebSignature{Signatures: []jose.Signature{*j.header}}
	jws.Signatures[0].Signature = j.signature
	return jws.DetachedVerify(j.payload, key) == nil
}
