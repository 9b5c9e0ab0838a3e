package testbed

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"
)

// Claims of a token that would be good at issuer i for user. Tests spoil one of them and mint.
func (i *Issuer) Claims(user string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"iss": i.URL, "aud": ClientID, "sub": user, "preferred_username": user, "groups": []string{"dev"}, "tenant": "one",
		"iat": now - 5, "exp": now + 3600,
	}
}

// Mint signs claims with the issuer's own key, for what the provider itself would never issue.
func (i *Issuer) Mint(claims map[string]any) (string, error) { return mint(i.key, i.keyID, claims) }

// Forge signs claims with a key that is not the issuer's, under the name of the issuer's.
func (i *Issuer) Forge(claims map[string]any) (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	return mint(key, i.keyID, claims)
}

// mint makes a compact JWS (RFC 7515, section 7.1) with RS256.
func mint(key *rsa.PrivateKey, id string, claims map[string]any) (string, error) {
	return signed(key, map[string]any{"alg": "RS256", "typ": "JWT", "kid": id}, claims)
}

func signed(key *rsa.PrivateKey, head, claims map[string]any) (string, error) {
	header, err := json.Marshal(head)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
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
	return signed + "." + encode(signature), nil
}
