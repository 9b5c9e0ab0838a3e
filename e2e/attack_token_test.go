package e2e

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	bigint "math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
)

// trap starts a server that edge must not call. It returns the URL, which tests put into tokens,
// and the number of calls.
func trap(t *testing.T) (url string, called *atomic.Int32) {
	called = new(atomic.Int32)
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	t.Cleanup(server.Close)
	return server.URL, called
}

// jwsOf returns a token (JWS) with any header, signed by the function sign.
func jwsOf(header map[string]any, claims any, sign func(signed []byte) []byte) string {
	signed := base64url(header) + "." + base64url(claims)
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(signed)))
}

func unsigned([]byte) []byte { return nil }

func hmacWith(key []byte) func([]byte) []byte {
	return func(signed []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(signed)
		return mac.Sum(nil)
	}
}

func rs256(t *testing.T, key *rsa.PrivateKey) func([]byte) []byte {
	return func(signed []byte) []byte {
		digest := sha256.Sum256(signed)
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

// checkUnauthorized checks that edge refuses each of the tokens in bad over HTTP/1.1, over HTTP/2
// and in a WebSocket subprotocol, and sends nothing upstream.
func checkUnauthorized(t *testing.T, a attacked, bad map[string]string) {
	t.Helper()
	for name, token := range bad {
		for way, got := range map[string]answer{
			"HTTP/1.1": raw(t.Context(), t, a.as(token), "GET", podsURI),
			"HTTP/2":   overHTTP2(t.Context(), t, a.as(token), podsURI, nil),
			"subprotocol": raw(t.Context(), t, a.as(""), "GET", execURI,
				askWebSocket("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io."+base64url(token))...),
		} {
			if got.code != http.StatusUnauthorized || got.status().Code != http.StatusUnauthorized {
				t.Errorf("%s, %s: %v, want 401 with a Status", name, way, got)
			}
		}
		a.nothing(t, name)
	}
}

// checkAccepted checks that edge accepts a valid token. Otherwise a test of bad tokens would also
// pass with an edge that refuses all tokens.
func checkAccepted(t *testing.T, a attacked, name, token string) {
	t.Helper()
	if got := raw(t.Context(), t, a.as(token), "GET", podsURI); got.code != http.StatusOK {
		t.Errorf("%s: %v, want 200", name, got)
	}
	a.recorder.Forget()
}

// TestAlgConfusion checks that edge accepts only signatures that were made with the issuer's keys
// and the configured algorithm, whatever the token's header contains.
func TestAlgConfusion(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	address, called := trap(t)
	public, err := idp.PublicKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	kid, claims := idp.KeyID(), idp.Claims("alice")
	head := func(alg string, more map[string]any) map[string]any {
		header := map[string]any{"alg": alg, "typ": "JWT", "kid": kid}
		maps.Copy(header, more)
		return header
	}
	embedded := map[string]any{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": base64.RawURLEncoding.EncodeToString(own.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(bigint.NewInt(int64(own.E)).Bytes()),
	}
	issuers := func(header map[string]any) string {
		token, err := idp.SignWith(header, claims)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := minted(t, idp, nil)
	part := strings.Split(good, ".")
	checkUnauthorized(t, a, map[string]string{
		"none":                       jwsOf(head("none", nil), claims, unsigned),
		"None":                       jwsOf(head("None", nil), claims, unsigned),
		"none, signed":               base64url(head("none", nil)) + "." + part[1] + "." + part[2],
		"no alg":                     jwsOf(map[string]any{"kid": kid}, claims, rs256(t, own)),
		"empty alg":                  jwsOf(head("", nil), claims, unsigned),
		"HS256 with the public key":  jwsOf(head("HS256", nil), claims, hmacWith(public)),
		"HS256 without its line end": jwsOf(head("HS256", nil), claims, hmacWith([]byte(strings.TrimSpace(string(public))))),
		"HS256 without a key":        jwsOf(head("HS256", nil), claims, hmacWith(nil)),
		"RS384 in the header":        issuers(head("RS384", nil)),
		"embedded jwk":               jwsOf(head("RS256", map[string]any{"jwk": embedded}), claims, rs256(t, own)),
		"embedded jwk, no kid":       jwsOf(map[string]any{"alg": "RS256", "jwk": embedded}, claims, rs256(t, own)),
		"jku":                        jwsOf(head("RS256", map[string]any{"jku": address + "/jku"}), claims, rs256(t, own)),
		"x5u":                        jwsOf(head("RS256", map[string]any{"x5u": address + "/x5u"}), claims, rs256(t, own)),
		"kid is an address":          jwsOf(map[string]any{"alg": "RS256", "kid": address + "/kid"}, claims, rs256(t, own)),
		"kid is a path":              jwsOf(map[string]any{"alg": "HS256", "kid": "../../../../dev/null"}, claims, hmacWith(nil)),
		"unknown crit, right key":    issuers(head("RS256", map[string]any{"crit": []string{"exp2"}, "exp2": 1})),
		"crit b64, right key":        issuers(head("RS256", map[string]any{"crit": []string{"b64"}, "b64": false})),
		"crit is text, right key":    issuers(head("RS256", map[string]any{"crit": "b64"})),
		"right key, other payload":   part[0] + "." + base64url(idp.Claims("bob")) + "." + part[2],
		"signature cut":              good[:len(good)-4],
		"no signature":               part[0] + "." + part[1] + ".",
		"JSON serialisation":         fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, part[0], part[1], part[2]),
	})
	checkAccepted(t, a, "a good one", good)
	if n := called.Load(); n != 0 {
		t.Errorf("%d calls to a server that a token named", n)
	}
}

// TestIssuerMixup checks that edge refuses a token that another issuer signed, and a token of the
// configured issuer for another audience.
func TestIssuerMixup(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	other, err := bed.StartIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	otherSays := func(header, change map[string]any) string {
		token, err := other.SignWith(header, claimed(other, change))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	ours, theirs := idp.KeyID(), other.KeyID()
	checkUnauthorized(t, a, map[string]string{
		"another issuer's":                  minted(t, other, nil),
		"another's, in our name":            minted(t, other, map[string]any{"iss": idp.URL}),
		"another's, our name and key id":    otherSays(map[string]any{"alg": "RS256", "kid": ours}, map[string]any{"iss": idp.URL}),
		"another's, our name and no key id": otherSays(map[string]any{"alg": "RS256"}, map[string]any{"iss": idp.URL}),
		"another's, our key id":             otherSays(map[string]any{"alg": "RS256", "kid": ours}, nil),
		"ours, in another's name":           minted(t, idp, map[string]any{"iss": other.URL}),
		"ours, with another's key id": func() string {
			token, err := idp.SignWith(map[string]any{"alg": "RS256", "kid": theirs}, idp.Claims("alice"))
			if err != nil {
				t.Fatal(err)
			}
			return token
		}(),
		"another audience":     minted(t, idp, map[string]any{"aud": issuer.OtherClientID}),
		"audiences but ours":   minted(t, idp, map[string]any{"aud": []string{issuer.OtherClientID, issuer.ClientID + "2", "", "*"}}),
		"audience in any case": minted(t, idp, map[string]any{"aud": strings.ToUpper(issuer.ClientID)}),
		"no audience":          minted(t, idp, map[string]any{"aud": nil}),
		"empty audience":       minted(t, idp, map[string]any{"aud": ""}),
		"trailing slash":       minted(t, idp, map[string]any{"iss": idp.URL + "/"}),
		"two slashes":          minted(t, idp, map[string]any{"iss": idp.URL + "//"}),
		"upper case":           minted(t, idp, map[string]any{"iss": strings.ToUpper(idp.URL)}),
		"a list":               minted(t, idp, map[string]any{"iss": []string{idp.URL}}),
		"no issuer":            minted(t, idp, map[string]any{"iss": nil}),
		"localhost":            minted(t, idp, map[string]any{"iss": strings.Replace(idp.URL, bed.Address, "localhost", 1)}),
	})
	checkAccepted(t, a, "one audience of many", minted(t, idp, map[string]any{"aud": []string{issuer.OtherClientID, issuer.ClientID}}))
}

// TestClock checks that edge applies kube-apiserver's rules to a token's times. A token is valid
// from nbf, minus one minute of tolerance, until exp, without tolerance. iat is ignored.
func TestClock(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	checkUnauthorized(t, a, map[string]string{
		"exp a second ago":     minted(t, idp, map[string]any{"exp": in(-time.Second)}),
		"exp an hour ago":      minted(t, idp, map[string]any{"exp": in(-time.Hour)}),
		"exp 0":                minted(t, idp, map[string]any{"exp": 0}),
		"exp negative":         minted(t, idp, map[string]any{"exp": -1}),
		"no exp":               minted(t, idp, map[string]any{"exp": nil}),
		"exp as text, past":    minted(t, idp, map[string]any{"exp": fmt.Sprint(in(-time.Hour))}),
		"exp is no number":     minted(t, idp, map[string]any{"exp": "tomorrow"}),
		"exp past any number":  minted(t, idp, map[string]any{"exp": "1e400"}),
		"nbf in ten minutes":   minted(t, idp, map[string]any{"nbf": in(10 * time.Minute)}),
		"nbf in a year":        minted(t, idp, map[string]any{"nbf": in(365 * 24 * time.Hour)}),
		"nbf as text":          minted(t, idp, map[string]any{"nbf": "tomorrow"}),
		"nbf of 10^18 seconds": minted(t, idp, map[string]any{"nbf": int64(1e18)}),
	})
	for name, change := range map[string]map[string]any{
		"nbf in half a minute": {"nbf": in(30 * time.Second)},
		"nbf a while ago":      {"nbf": in(-time.Hour)},
		"iat in an hour":       {"iat": in(time.Hour)},
		"no iat":               {"iat": nil},
		"exp in a while":       {"exp": in(2 * patience)},
		"exp as text":          {"exp": fmt.Sprint(in(time.Hour))},
	} {
		checkAccepted(t, a, name, minted(t, idp, change))
	}
}

// TestGroupsOverage checks a token that contains no groups but refers to another server for them.
// edge must refuse the token and must not send a request to that server.
func TestGroupsOverage(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	address, called := trap(t)
	source := map[string]any{"src1": map[string]any{"endpoint": address + "/groups", "access_token": "x"}}
	elsewhere := map[string]any{"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": source}
	inside := map[string]any{"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{
		"src1": map[string]any{"JWT": minted(t, idp, map[string]any{"groups": "ops"})},
	}}
	checkUnauthorized(t, a, map[string]string{
		"elsewhere":           minted(t, idp, elsewhere),
		"in a token inside":   minted(t, idp, inside),
		"a source that lacks": minted(t, idp, map[string]any{"groups": nil, "_claim_names": map[string]any{"groups": "src2"}, "_claim_sources": source}),
	})
	checkAccepted(t, a, "beside groups", minted(t, idp, map[string]any{"_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": source}))
	checkAccepted(t, a, "another claim", minted(t, idp, map[string]any{"_claim_names": map[string]any{"address": "src1"}, "_claim_sources": source}))
	if n := called.Load(); n != 0 {
		t.Errorf("%d calls to a server that a token named", n)
	}
}
