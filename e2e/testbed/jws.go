package testbed

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// SignWith signs claims with the issuer's own key, under a header of the caller's, as a careless issuer might.
func (i *Issuer) SignWith(header, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return signUnder(header, i.signingKey().key, payload)
}

// PublicKeyPEM is the key that everybody may read, as an attacker would feed it to HMAC.
func (i *Issuer) PublicKeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(i.signingKey().key.Public())
	return pemBlock("PUBLIC KEY", der), err
}

// KeyFetches counts how often somebody fetched the provider's keys.
func (i *Issuer) KeyFetches() (int, error) {
	log, err := os.ReadFile(filepath.Join(i.dir, "issuer.log"))
	if err != nil {
		return 0, fmt.Errorf("testbed: issuer: %w", err)
	}
	return bytes.Count(log, []byte("GET /jwks\n")), nil
}
