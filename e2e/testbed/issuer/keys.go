package issuer

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"edge/e2e/testbed/pki"
	"edge/e2e/testbed/run"
)

// A rotation of an issuer's key is PublishKey, some time, SignWithNewKey, some time, WithdrawOldKeys. Each returns when the
// provider does so.

// PublishKey makes a key and publishes it beside the others. Nothing is signed with it yet.
func (i *Issuer) PublishKey(ctx context.Context) error {
	if err := i.addKey(); err != nil {
		return err
	}
	return i.publish(ctx)
}

// SignWithNewKey makes the newest key the one that tokens are signed with, the provider's and minted ones.
func (i *Issuer) SignWithNewKey(ctx context.Context) error {
	i.mu.Lock()
	newest := len(i.keys) - 1
	i.keys = append([]signingKey{i.keys[newest]}, i.keys[:newest]...)
	i.mu.Unlock()
	return i.publish(ctx)
}

// WithdrawOldKeys publishes no key any more but the one that tokens are signed with.
func (i *Issuer) WithdrawOldKeys(ctx context.Context) error {
	i.mu.Lock()
	i.keys = i.keys[:1:1]
	i.mu.Unlock()
	return i.publish(ctx)
}

// KeyID is the name of the key that tokens are signed with.
func (i *Issuer) KeyID() string { return i.signingKey().id }

func (i *Issuer) signingKey() signingKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[0]
}

func (i *Issuer) addKey() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, signingKey{id: "key-" + run.RandomHex(4), key: key})
	return i.writeKeysLocked()
}

func (i *Issuer) keysFile() string { return filepath.Join(i.dir, "keys.json") }

// writeKeysLocked writes what the provider reads: at its start, and when it gets SIGHUP.
func (i *Issuer) writeKeysLocked() error {
	set := []map[string]string{}
	for _, k := range i.keys {
		set = append(set, privateJWK(k.key, k.id))
	}
	text, err := json.Marshal(set)
	if err != nil {
		return err
	}
	return os.WriteFile(i.keysFile(), text, 0o600)
}

// publish returns when the provider publishes the keys, in their order.
func (i *Issuer) publish(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.writeKeysLocked(); err != nil {
		return err
	}
	if i.process == nil {
		return nil // it will read them when it starts
	}
	var want []string
	for _, k := range i.keys {
		want = append(want, k.id)
	}
	if err := i.process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	return run.Until(ctx, time.Minute, "issuer's keys", func(ctx context.Context) error {
		got, err := i.published(ctx)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("published are %v, not %v", got, want)
		}
		return err
	}, i.process)
}

// published are the names of the keys that the provider publishes.
func (i *Issuer) published(ctx context.Context) ([]string, error) {
	resp, body, err := get(ctx, i.client, i.URL+"/jwks", nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("keys: %s", resp.Status)
	}
	var set struct {
		Keys []struct{ Kid string }
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, err
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.Kid)
	}
	return ids, nil
}

// privateJWK is RFC 7518, section 6.3.2.
func privateJWK(key *rsa.PrivateKey, id string) map[string]string {
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	return map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
		"n": number(key.N), "e": number(big.NewInt(int64(key.E))), "d": number(key.D),
		"p": number(key.Primes[0]), "q": number(key.Primes[1]),
		"dp": number(key.Precomputed.Dp), "dq": number(key.Precomputed.Dq), "qi": number(key.Precomputed.Qinv),
	}
}

// PublicKeyPEM is the key that everybody may read, as an attacker would feed it to HMAC.
func (i *Issuer) PublicKeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(i.signingKey().key.Public())
	return pki.EncodePEM("PUBLIC KEY", der), err
}

// KeyFetches counts how often somebody fetched the provider's keys.
func (i *Issuer) KeyFetches() (int, error) {
	log, err := os.ReadFile(filepath.Join(i.dir, "issuer.log"))
	if err != nil {
		return 0, fmt.Errorf("testbed: issuer: %w", err)
	}
	return bytes.Count(log, []byte("GET /jwks\n")), nil
}
