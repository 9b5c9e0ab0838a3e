// These tests use TLS without the post-quantum key exchange: with -race, a handshake then needs
// 10 ms less CPU.
//
//go:debug tlsmlkem=0
//go:debug tlssecpmlkem=0

package authn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"edge/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The keys of the test issuers. They are generated once, because generating an RSA key is slow.
var (
	rsaKeys  = sync.OnceValue(func() []jose.JSONWebKey { return []jose.JSONWebKey{rsaKey(), otherRSA(), rsaKeyNamed("rsa")} })
	rsaKey   = sync.OnceValue(func() jose.JSONWebKey { return rsaKeyNamed("rsa") })
	otherRSA = sync.OnceValue(func() jose.JSONWebKey { return rsaKeyNamed("rsa") }) // another key than rsaKey with the same key ID
	ecKey    = sync.OnceValue(func() jose.JSONWebKey { return ecKeyNamed("ec") })
)

func rsaKeyNamed(id string) jose.JSONWebKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: id}
}

func ecKeyNamed(id string) jose.JSONWebKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: id}
}

// testIssuer is an OpenID Connect issuer on the loopback interface. A test may replace the
// responses of its HTTP server while the server runs.
type testIssuer struct {
	*httptest.Server
	discovery, jwks         atomic.Pointer[http.HandlerFunc]
	discoveries, keyFetches atomic.Int64
}

func newTestIssuer(t testing.TB, keys ...jose.JSONWebKey) *testIssuer {
	t.Helper()
	i := &testIssuer{}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		i.discoveries.Add(1)
		(*i.discovery.Load())(w, r)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		i.keyFetches.Add(1)
		(*i.jwks.Load())(w, r)
	})
	i.Server = httptest.NewUnstartedServer(mux)
	// Do not log TLS errors, because some tests cause certificate errors on purpose.
	i.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	testkit.StartTLS(i.Server)
	t.Cleanup(i.Close)
	i.discover(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	i.publish(keys...)
	return i
}

func answer(status int, document any) *http.HandlerFunc {
	body, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
	return &h
}

func (i *testIssuer) discover(document any) { i.discovery.Store(answer(http.StatusOK, document)) }

// publish sets the keys that the issuer publishes. Only their public parts are published.
func (i *testIssuer) publish(keys ...jose.JSONWebKey) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, key := range keys {
		set.Keys = append(set.Keys, key.Public())
	}
	i.jwks.Store(answer(http.StatusOK, set))
}

// down makes the issuer answer every request with an error.
func (i *testIssuer) down() {
	fail := answer(http.StatusInternalServerError, "down\r\nfor maintenance")
	i.discovery.Store(fail)
	i.jwks.Store(fail)
}

// pem returns the issuer's TLS certificate as PEM. All test issuers have the same certificate,
// because httptest has only one.
func (i *testIssuer) pem() []byte {
	return testkit.PEM(i.Certificate())
}

func (i *testIssuer) caFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, name, i.pem())
	return name
}

func writeFile(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// config returns Options that accept this issuer's tokens for the audience "edge".
func (i *testIssuer) config(t testing.TB) Options {
	return Options{Flags: Flags{IssuerURL: i.URL, ClientID: "edge", CAFile: i.caFile(t), GroupsClaim: "groups"}}
}

// claims returns good claims that are valid for an hour. A claim in the parameter replace takes the
// place of the good claim with the same name; the value nil removes that claim.
func (i *testIssuer) claims(replace map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{"iss": i.URL, "aud": "edge", "sub": "jane", "iat": now, "exp": now + 3600}
	maps.Copy(c, replace)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign makes a token with these claims, with the signing algorithm that fits the key.
func sign(t testing.TB, key jose.JSONWebKey, claims any) string {
	t.Helper()
	alg := jose.RS256
	if _, ok := key.Key.(*ecdsa.PrivateKey); ok {
		alg = jose.ES256
	}
	return signWith(t, alg, key, claims, nil)
}

func signWith(t testing.TB, alg jose.SignatureAlgorithm, key jose.JSONWebKey, claims any, options *jose.SignerOptions) string {
	t.Helper()
	payload, ok := claims.([]byte)
	if !ok {
		var err error
		if payload, err = json.Marshal(claims); err != nil {
			t.Fatal(err)
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// unsigned makes a token with any header, claims and signature, without signing it.
func unsigned(header, claims any, signature string) string {
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(header) + "." + part(claims) + "." + base64.RawURLEncoding.EncodeToString([]byte(signature))
}

// start runs an Authenticator until the test ends, and waits until it has the issuers' keys.
func start(t testing.TB, cfg Options) *Authenticator {
	t.Helper()
	a := startPaced(t, cfg, defaultSchedule)
	testkit.WaitFor(t, "the issuer's keys", func() bool { return a.Ready() == nil })
	return a
}

func startPaced(t testing.TB, cfg Options, p fetchSchedule) *Authenticator {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.schedule = p
	run(t, a)
	return a
}

// run runs an Authenticator until the test ends.
func run(t testing.TB, a *Authenticator) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// waitForAll waits until an Authenticator has the keys of all its issuers.
func waitForAll(t testing.TB, a *Authenticator) {
	t.Helper()
	testkit.WaitFor(t, "all issuers' keys", func() bool {
		for _, i := range a.rules.Load().issuers {
			if !i.source.ready() {
				return false
			}
		}
		return true
	})
}

// clock is a clock for tests: its time changes only when the test sets it.
type clock struct{ now atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.now.Store(time.Now().UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.now.Load()) }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }

// logBuffer collects log lines.
type logBuffer struct{ testkit.Buffer }

func (b *logBuffer) lines() []string {
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}
