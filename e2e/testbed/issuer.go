package testbed

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

//go:embed idp/idp.mjs
var idpProgram []byte

// ClientID is the OpenID Connect client that edge expects tokens for.
const ClientID = "edge"

// OtherClientID is a client of the same provider whose tokens are not for edge.
const OtherClientID = "another-application"

// User is an account at the identity provider.
type User struct {
	Name     string // its sub and preferred_username
	Groups   []string
	Claims   map[string]any // further claims of its tokens
	Lifetime time.Duration  // of its tokens, in whole seconds; zero: an hour
}

// Users have an account at every issuer.
var Users = []User{
	{Name: "alice", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "one"}},
	{Name: "bob", Groups: []string{"ops"}, Claims: map[string]any{"tenant": "one"}},
	{Name: "carol", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "two"}},
	{Name: "dave", Groups: []string{"dev"}, Claims: map[string]any{"tenant": "one"}, Lifetime: 10 * time.Second},
}

// Issuer is a running OpenID Connect provider.
type Issuer struct {
	URL    string
	CA     []byte // PEM
	CAFile string

	process     *Process
	client      *http.Client
	redirectURI string
	key         *rsa.PrivateKey // with which it signs tokens
	keyID       string
}

// StartIssuer starts a provider that knows Users and more, and returns when it answers.
func (tb *Testbed) StartIssuer(ctx context.Context, more ...User) (*Issuer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(tb.Dir, fmt.Sprintf("issuer-%d", port))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	i := &Issuer{
		URL:         "https://" + loopback(port),
		CA:          tb.CA.PEM,
		CAFile:      filepath.Join(dir, "ca.crt"),
		redirectURI: "http://localhost:8000", // where kubectl's login plugins listen; nobody follows it here
		keyID:       "key-" + randomHex(4),
		client: &http.Client{
			Timeout:   30 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: tb.CA.Pool()}},
		},
	}
	if i.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if err := os.WriteFile(i.CAFile, i.CA, 0o644); err != nil {
		return nil, err
	}
	cert, key, err := tb.CA.issueFiles(dir, "tls", "issuer")
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"issuer": i.URL, "port": port, "cert": cert, "privateKey": key,
		"key": privateJWK(i.key, i.keyID), "cookieKey": randomHex(16),
		"clients": []string{ClientID, OtherClientID}, "redirectURI": i.redirectURI,
		"users": accounts(append(Users[:len(Users):len(Users)], more...)),
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "idp.mjs"), idpProgram, 0o644); err != nil {
		return nil, err
	}
	if err := os.Symlink(tb.Bin.NodeModules, filepath.Join(dir, "node_modules")); err != nil {
		return nil, err
	}
	i.process, err = spawn(dir, "issuer", []string{tb.Bin.Node, "idp.mjs", "config.json"})
	if err != nil {
		return nil, err
	}
	tb.onClose(i.Stop)
	return i, until(ctx, startupTime, "issuer", i.probe, i.process)
}

// Stop ends the provider.
func (i *Issuer) Stop() {
	i.client.CloseIdleConnections()
	i.process.Kill()
}

func (i *Issuer) probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL+"/.well-known/openid-configuration", nil)
	if err != nil {
		return err
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("discovery: %s", resp.Status)
	}
	return nil
}

// accounts is Users as idp.mjs reads them.
func accounts(users []User) map[string]any {
	all := map[string]any{}
	for _, u := range users {
		claims := map[string]any{
			"preferred_username": u.Name,
			"email":              u.Name + "@example.com",
			"email_verified":     true,
			"groups":             u.Groups,
		}
		maps.Copy(claims, u.Claims)
		lifetime := u.Lifetime
		if lifetime == 0 {
			lifetime = time.Hour
		}
		all[u.Name] = map[string]any{"claims": claims, "lifetimeSeconds": int(lifetime.Seconds())}
	}
	return all
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
