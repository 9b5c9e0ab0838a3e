package issuer

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// sign returns a token: payload as a compact JWS (RFC 7515, section 7.1), signed with RS256. id is
// the key id in its header.
func sign(key *rsa.PrivateKey, id string, payload []byte) (string, error) {
	return signUnder(map[string]any{"alg": "RS256", "typ": "JWT", "kid": id}, key, payload)
}

func signUnder(head map[string]any, key *rsa.PrivateKey, payload []byte) (string, error) {
	header, err := json.Marshal(head)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(header) + "." + encode(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", err
	}
	return issued(signed + "." + encode(signature)), nil
}
