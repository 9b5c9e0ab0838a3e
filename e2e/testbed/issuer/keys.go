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

// A test changes an issuer's signing key with PublishKey, SignWithNewKey and WithdrawOldKeys, with
// some time between the calls. Each of these methods returns when the provider publishes the
// changed keys.

// PublishKey makes a new key and publishes it in addition to the others. The provider does not sign
// tokens with it yet.
func (i *Issuer) PublishKey(ctx context.Context) error {
	if err := i.addKey(); err != nil {
		return err
	}
	return i.publish(ctx)
}

// SignWithNewKey makes the provider, and the method Mint, sign tokens with the newest key.
func (i *Issuer) SignWithNewKey(ctx context.Context) error {
	i.mu.Lock()
	newest := len(i.keys) - 1
	i.keys = append([]signingKey{i.keys[newest]}, i.keys[:newest]...)
	i.mu.Unlock()
	return i.publish(ctx)
}

// WithdrawOldKeys stops publishing all keys except the one with which the provider signs tokens.
func (i *Issuer) WithdrawOldKeys(ctx context.Context) error {
	i.mu.Lock()
	i.keys = i.keys[:1:1]
	i.mu.Unlock()
	return i.publish(ctx)
}

// KeyID returns the id of the key with which the provider signs tokens.
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

// writeKeysLocked writes the provider's keys to the file that the provider reads when it starts and
// when it receives SIGHUP. The caller holds i.mu.
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

// publish writes the provider's keys to their file, sends SIGHUP to the provider, and waits until
// the provider publishes exactly these keys in this order.
func (i *Issuer) publish(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.writeKeysLocked(); err != nil {
		return err
	}
	if i.process == nil {
		return nil // the provider is stopped and will read the file when it starts
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
			err = fmt.Errorf("the provider publishes keys %v, want %v", got, want)
		}
		return err
	}, i.process)
}

// published requests the ids of the keys that the provider publishes now.
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

// privateJWK returns key in JSON form, as a private JWK (RFC 7518, section 6.3.2).
func privateJWK(key *rsa.PrivateKey, id string) map[string]string {
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	return map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
		"n": number(key.N), "e": number(big.NewInt(int64(key.E))), "d": number(key.D),
		"p": number(key.Primes[0]), "q": number(key.Primes[1]),
		"dp": number(key.Precomputed.Dp), "dq": number(key.Precomputed.Dq), "qi": number(key.Precomputed.Qinv),
	}
}

// PublicKeyPEM returns the public part of the provider's signing key. Tests use it as an HMAC
// secret to forge a token, as an attacker would.
func (i *Issuer) PublicKeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(i.signingKey().key.Public())
	return pki.EncodePEM("PUBLIC KEY", der), err
}

// KeyFetches returns how many requests for its published keys the provider has received.
func (i *Issuer) KeyFetches() (int, error) {
	log, err := os.ReadFile(filepath.Join(i.dir, "issuer.log"))
	if err != nil {
		return 0, fmt.Errorf("testbed: read the issuer's log: %w", err)
	}
	return bytes.Count(log, []byte("GET /jwks\n")), nil
}
