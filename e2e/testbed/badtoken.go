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

// Mint signs claims with the issuer's own key, for what the provider itself would never issue, or need not be asked for.
func (i *Issuer) Mint(claims map[string]any) (string, error) {
	k := i.signingKey()
	return mint(k.key, k.id, claims)
}

// MintAs signs claims with the issuer's own key under another name.
func (i *Issuer) MintAs(keyID string, claims map[string]any) (string, error) {
	return mint(i.signingKey().key, keyID, claims)
}

// Sign signs a payload that need not be claims.
func (i *Issuer) Sign(payload []byte) (string, error) {
	k := i.signingKey()
	return sign(k.key, k.id, payload)
}

// Forge signs claims with a key that is not the issuer's, under the name of the issuer's.
func (i *Issuer) Forge(claims map[string]any) (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	return mint(key, i.KeyID(), claims)
}

func mint(key *rsa.PrivateKey, id string, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return sign(key, id, payload)
}

// sign makes a compact JWS (RFC 7515, section 7.1) with RS256.
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
