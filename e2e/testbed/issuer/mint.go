package issuer

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"time"
)

// Claims returns the claims of a token that edge accepts from this issuer, for a user. Tests change
// a claim and call Mint.
func (i *Issuer) Claims(user string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"iss": i.URL, "aud": ClientID, "sub": user, "preferred_username": user, "groups": []string{"dev"}, "tenant": "one",
		"iat": now - 5, "exp": now + 3600,
	}
}

// Mint returns a token with these claims, signed with the issuer's own key. Tests use it for tokens
// that the provider itself would not issue, or to avoid a login.
func (i *Issuer) Mint(claims map[string]any) (string, error) {
	k := i.signingKey()
	return mint(k.key, k.id, claims)
}

// MintAs returns a token that is signed with the issuer's own key, but whose header contains the
// key id keyID.
func (i *Issuer) MintAs(keyID string, claims map[string]any) (string, error) {
	return mint(i.signingKey().key, keyID, claims)
}

// Sign returns a JWS of any payload, signed with the issuer's own key. The payload need not be
// claims in JSON.
func (i *Issuer) Sign(payload []byte) (string, error) {
	k := i.signingKey()
	return sign(k.key, k.id, payload)
}

// Forge returns a token with these claims that is signed with a key that is not the issuer's. Its
// header contains the id of the issuer's own key.
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

// SignWith returns a token with these claims and this header, signed with the issuer's own key.
// Tests use it for headers that only a careless issuer would write.
func (i *Issuer) SignWith(header, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return signUnder(header, i.signingKey().key, payload)
}
