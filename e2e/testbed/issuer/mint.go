package issuer

import (
	"crypto/rand"
	"crypto/rsa"
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

// SignWith signs claims with the issuer's own key, under a header of the caller's, as a careless issuer might.
func (i *Issuer) SignWith(header, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return signUnder(header, i.signingKey().key, payload)
}
