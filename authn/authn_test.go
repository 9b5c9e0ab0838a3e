package authn

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/apiserver/pkg/authentication/user"
)

// refusal verifies a token and returns the reason if it is refused, or "" if it is accepted. It
// fails the test if Authenticate returns both an error and a user.
func refusal(t testing.TB, a *Authenticator, token string) Reason {
	t.Helper()
	v, err := a.Authenticate(context.Background(), token)
	if err == nil {
		return ""
	}
	if v != (Verified{}) {
		t.Errorf("error %v, and yet a user: %+v", err, v)
	}
	wrong := new(RefusedError)
	if !errors.As(err, &wrong) {
		t.Fatalf("error %v is no RefusedError", err)
	}
	return wrong.Reason
}

func TestAuthenticate(t *testing.T) {
	i := newTestIssuer(t, rsaKey(), ecKey())
	tests := []struct {
		name   string
		change func(*Options)
		claims map[string]any
		want   user.DefaultInfo
	}{
		{"prefix by default", func(*Options) {}, nil, user.DefaultInfo{Name: i.URL + "#jane"}},
		{"no prefix", func(c *Options) { c.Flags.UsernamePrefix = "-" }, nil, user.DefaultInfo{Name: "jane"}},
		{"a prefix", func(c *Options) { c.Flags.UsernamePrefix = "oidc:" }, nil, user.DefaultInfo{Name: "oidc:jane"}},
		{"email has none by default", func(c *Options) { c.Flags.UsernameClaim = "email" }, map[string]any{"email": "j@x.example"}, user.DefaultInfo{Name: "j@x.example"}},
		{"groups", func(c *Options) { c.Flags.GroupsPrefix = "g:" }, map[string]any{"groups": []string{"dev", "ops"}},
			user.DefaultInfo{Name: i.URL + "#jane", Groups: []string{"g:dev", "g:ops"}}},
		{"one group as a string", func(*Options) {}, map[string]any{"groups": "dev"}, user.DefaultInfo{Name: i.URL + "#jane", Groups: []string{"dev"}}},
		{"groups not asked for", func(c *Options) { c.Flags.GroupsClaim = "" }, map[string]any{"groups": 7}, user.DefaultInfo{Name: i.URL + "#jane"}},
		{"audience among others", func(*Options) {}, map[string]any{"aud": []string{"x", "edge"}}, user.DefaultInfo{Name: i.URL + "#jane"}},
		{"required claims", func(c *Options) { c.Flags.RequiredClaims = map[string]string{"hd": "x.example"} }, map[string]any{"hd": "x.example"},
			user.DefaultInfo{Name: i.URL + "#jane"}},
		{"credential id", func(*Options) {}, map[string]any{"jti": "0815"},
			user.DefaultInfo{Name: i.URL + "#jane", Extra: map[string][]string{"authentication.kubernetes.io/credential-id": {"JTI=0815"}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := i.config(t)
			cfg.Flags.SigningAlgs = []string{"RS256", "ES256"}
			test.change(&cfg)
			a := start(t, cfg)
			claims := i.claims(test.claims)
			for _, key := range []jose.JSONWebKey{rsaKey(), ecKey()} {
				token := sign(t, key, claims)
				for range 2 { // the first pass verifies the token, the second pass finds it in the cache
					v, err := a.Authenticate(context.Background(), token)
					if err != nil {
						t.Fatal(err)
					}
					if got := v.User.(*user.DefaultInfo); !reflect.DeepEqual(*got, test.want) {
						t.Errorf("got %+v, want %+v", *got, test.want)
					}
					if v.Expires.Unix() != claims["exp"] {
						t.Errorf("expires %v, want %v", v.Expires.Unix(), claims["exp"])
					}
				}
			}
		})
	}
}

func TestRefused(t *testing.T) {
	i := newTestIssuer(t, rsaKey(), ecKey())
	cfg := i.config(t)
	cfg.Flags.RequiredClaims = map[string]string{"hd": "x.example"}
	a := start(t, cfg)

	cfg.Flags.UsernameClaim = "email"
	byEmail := start(t, cfg)

	good := map[string]any{"hd": "x.example", "email": "j@x.example"}
	if r := refusal(t, a, sign(t, rsaKey(), i.claims(good))); r != "" {
		t.Fatalf("the token that all others are made of is refused: %s", r)
	}
	now := time.Now().Unix()
	tests := []struct {
		name   string
		a      *Authenticator
		change map[string]any
		want   Reason
	}{
		{"expired", a, map[string]any{"exp": now - 5}, ReasonExpired},
		{"without exp", a, map[string]any{"exp": nil}, ReasonExpired},
		{"exp is text", a, map[string]any{"exp": "soon"}, ReasonMalformed},
		{"not yet valid", a, map[string]any{"nbf": now + 120}, ReasonNotYetValid},
		{"not yet valid, with a fraction", a, map[string]any{"nbf": float64(now+120) + .5}, ReasonNotYetValid},
		{"not yet valid, as text", a, map[string]any{"nbf": fmt.Sprint(now + 120)}, ReasonNotYetValid},
		{"another audience", a, map[string]any{"aud": "other"}, ReasonAudience},
		{"no audience", a, map[string]any{"aud": nil}, ReasonAudience},
		{"another issuer", a, map[string]any{"iss": "https://issuer.example"}, ReasonIssuer},
		{"no issuer", a, map[string]any{"iss": nil}, ReasonIssuer},
		{"no username", a, map[string]any{"sub": nil}, ReasonClaims},
		{"sub is a number", a, map[string]any{"sub": 7}, ReasonMalformed},
		{"email is a number", byEmail, map[string]any{"email": 7}, ReasonClaims},
		{"groups are an object", a, map[string]any{"groups": map[string]any{}}, ReasonClaims},
		{"a group is a number", a, map[string]any{"groups": []any{"dev", 7}}, ReasonClaims},
		{"required claim missing", a, map[string]any{"hd": nil}, ReasonClaims},
		{"required claim wrong", a, map[string]any{"hd": "y.example"}, ReasonClaims},
		{"required claim in a list", a, map[string]any{"hd": []string{"x.example"}}, ReasonClaims},
		{"email not verified", byEmail, map[string]any{"email_verified": false}, ReasonClaims},
		{"email_verified is text", byEmail, map[string]any{"email_verified": "true"}, ReasonClaims},
		{"no email", byEmail, map[string]any{"email": nil}, ReasonClaims},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			claims := i.claims(good)
			for name, value := range test.change {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			}
			token := sign(t, rsaKey(), claims)
			for range 2 { // verify the token twice, because the first refusal must not be cached as an acceptance
				if got := refusal(t, test.a, token); got != test.want {
					t.Errorf("refused as %q, want %q", got, test.want)
				}
			}
		})
	}
}

// TestClock (row Clock of the attack corpus in docs/security.md) checks exp and nbf at the allowed
// clock difference and beyond it, for new and for cached tokens.
func TestClock(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	clock := newClock()
	cfg := i.config(t)
	cfg.Now = clock.Now
	a := start(t, cfg)
	now := clock.Now().Unix()
	token := sign(t, rsaKey(), i.claims(map[string]any{"exp": now + 100, "nbf": now + 160}))

	for _, step := range []struct {
		at   int64 // the test verifies the token this number of seconds, plus one nanosecond, after the variable now
		want Reason
	}{
		{99, ReasonNotYetValid}, {100, ReasonExpired},
	} {
		clock.now.Store(time.Unix(now+step.at, 1).UnixNano())
		if got := refusal(t, a, token); got != step.want {
			t.Errorf("nbf 60 s after exp, at %d s: %q, want %q", step.at, got, step.want)
		}
	}
	clock.now.Store(time.Unix(now, 0).UnixNano())
	token = sign(t, rsaKey(), i.claims(map[string]any{"exp": now + 200, "nbf": now + 160, "iat": now + 1000}))
	for _, step := range []struct {
		at   time.Time
		want Reason
	}{
		{time.Unix(now+100, -1), ReasonNotYetValid},
		{time.Unix(now+100, 0), ""},
		{time.Unix(now+200, 0), ""},
		{time.Unix(now+200, 1), ReasonExpired},
		{time.Unix(now+9999, 0), ReasonExpired},
	} {
		clock.now.Store(step.at.UnixNano())
		if got := refusal(t, a, token); got != step.want {
			t.Errorf("at exp%+v: %q, want %q", step.at.Sub(time.Unix(now+200, 0)), got, step.want)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	i := newTestIssuer(b, rsaKey(), ecKey())
	cfg := i.config(b)
	cfg.Flags.SigningAlgs = []string{"RS256", "ES256"}
	a := start(b, cfg)
	groups := strings.Fields(strings.Repeat("some-group ", 20))
	for name, key := range map[string]jose.JSONWebKey{"RS256": rsaKey(), "ES256": ecKey()} {
		token := sign(b, key, i.claims(map[string]any{"groups": groups, "jti": "0815"}))
		b.Run("remembered/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(context.Background(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("new/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (&verification{rules: a.rules.Load(), token: token, now: time.Now()}).verify(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
