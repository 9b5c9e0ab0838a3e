package authn

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
)

// text returns an explanation of a token as text, as a program would print it.
func (e Explanation) text() string {
	lines := []string{fmt.Sprintf("%s %s issuer %q of %q user %+v expires %v", e.Outcome, e.Reason, e.Issuer, e.Issuers, e.User, e.Expires)}
	for _, s := range e.Steps {
		lines = append(lines, fmt.Sprintf("%s: %s: %s", s.Name, s.Outcome, s.Detail))
	}
	return strings.Join(lines, "\n")
}

func (e Explanation) refused() (names []string) {
	for _, s := range e.Steps {
		if s.Outcome == OutcomeRefused {
			names = append(names, s.Name)
		}
	}
	return names
}

// TestExplain checks that an explanation reports all faults of a token, and not only the first
// fault.
func TestExplain(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	clock := newClock()
	spec := i.accepts("1:")
	spec.ClaimMappings.UID.Expression = "claims.uid"
	spec.ClaimValidationRules = []apiserver.ClaimValidationRule{{Claim: "hd", RequiredValue: "x.example"}, {Expression: "claims.flag == true", Message: "raise the flag"}}
	spec.UserValidationRules = []apiserver.UserValidationRule{{Expression: "!user.username.endsWith('root')", Message: "no root"}}
	file := writeConfig(t, &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{spec}}, "v1")
	a := start(t, Options{File: file, Now: clock.Now})
	offline, err := New(Options{File: file, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]any{"hd": "x.example", "flag": true, "uid": "u-1", "groups": []string{"dev"}, "jti": "0815"}
	with := func(changes ...any) map[string]any {
		c := i.claims(good)
		for n := 0; n < len(changes); n += 2 {
			c[changes[n].(string)] = changes[n+1]
		}
		return c
	}
	wrong := with("sub", "root", "flag", false, "hd", "y.example", "aud", "other", "exp", clock.Now().Add(-3*time.Hour).Unix(),
		"nbf", clock.Now().Add(time.Hour).Unix())
	fine := []string{}
	for _, test := range []struct {
		name    string
		a       *Authenticator
		o       ExplainOptions
		token   string
		outcome Outcome
		refused []string
		says    []string
		user    string
	}{
		{"good", a, ExplainOptions{}, sign(t, rsaKey(), with()), OutcomeOK, fine,
			[]string{`alg "RS256", kid "rsa"`, `iss "` + i.URL, "keys available: 1; with the token's kid: 1", "Z, in ", "claim rules: ok: expressions: 1", `groups: ok: ["dev"]`, `uid: ok: "u-1"`, "JTI=0815"}, "1:jane"},
		{"good, offline", offline, ExplainOptions{}, sign(t, rsaKey(), with()), OutcomeSkipped, fine, []string{"the signature is not checked"}, "1:jane"},
		{"good, with keys fetched", offline, ExplainOptions{Fetch: true}, sign(t, rsaKey(), with()), OutcomeOK, fine, []string{"keys: ok: 1 fetched from " + i.URL}, "1:jane"},
		{"forged, offline", offline, ExplainOptions{}, sign(t, otherRSA(), with()), OutcomeSkipped, fine, []string{"the signature is not checked"}, "1:jane"},
		{"forged, with keys fetched", offline, ExplainOptions{Fetch: true}, sign(t, otherRSA(), with()), OutcomeRefused, []string{"signature"},
			[]string{"with the token's kid: 1"}, "1:jane"},
		{"all that can be", a, ExplainOptions{}, sign(t, otherRSA(), wrong), OutcomeRefused,
			[]string{"signature", "expiry", "audience", "not before", "required claims", "claim rules", "user rules"},
			[]string{"3h ago", `aud ["other"]; accepted are ["edge"]`, `required claim "hd" has another value`, `"claims.flag == true" is not satisfied: raise the flag`, "no root"}, "1:root"},
		{"another algorithm", a, ExplainOptions{}, unsigned(map[string]any{"alg": "HS256"}, with(), "x"), OutcomeRefused, []string{"algorithm"},
			[]string{"signature: skipped", "username: skipped", `iss "` + i.URL}, ""},
		{"another issuer", a, ExplainOptions{}, sign(t, rsaKey(), with("iss", "https://elsewhere.example")), OutcomeRefused, []string{"issuer"},
			[]string{`iss "https://elsewhere.example"`, i.URL}, ""},
		{"no uid", a, ExplainOptions{}, sign(t, rsaKey(), with("uid", nil)), OutcomeRefused, []string{"uid"}, []string{`uid expression "claims.uid"`}, ""},
		{"not a token", a, ExplainOptions{}, "hello", OutcomeRefused, []string{"form"}, nil, ""},
		{"a million dots", a, ExplainOptions{}, strings.Repeat(".", 1e6), OutcomeRefused, []string{"form"}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := test.a.Explain(context.Background(), test.token, test.o)
			text := e.text()
			if got := e.refused(); e.Outcome != test.outcome || !slices.Equal(got, test.refused) {
				t.Errorf("refused are %q, want %q", got, test.refused)
			}
			for _, want := range test.says {
				if !strings.Contains(text, want) {
					t.Errorf("does not say %q", want)
				}
			}
			if (e.User == nil) != (test.user == "") || e.User != nil && e.User.GetName() != test.user {
				t.Errorf("the user is %+v, want %s", e.User, test.user)
			}
			if parts := strings.Split(test.token, "."); len(parts) == 3 {
				payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
				signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
				secrets := []string{test.token, parts[1], string(payload)}
				if len(signature) > 1 {
					secrets = append(secrets, parts[2])
				}
				for _, secret := range secrets {
					if secret != "" && strings.Contains(text, secret) {
						t.Errorf("the token, its payload or its signature shows")
					}
				}
			}
			if t.Failed() {
				t.Log(text)
			}
			// Only a token that Explain calls ok may authenticate a request.
			if v, err := test.a.Authenticate(context.Background(), test.token); (err == nil) != (test.a == a && test.outcome == OutcomeOK) {
				t.Errorf("Authenticate says %+v, %v", v, err)
			}
		})
	}
}

// TestExplainFetches checks that Explain fetches an issuer's keys once, in bounded time, and does
// not keep them. Without the option Fetch it fetches nothing.
func TestExplainFetches(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	a, err := New(i.config(t))
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, rsaKey(), i.claims(nil))
	a.Explain(context.Background(), token, ExplainOptions{})
	a.Explain(context.Background(), sign(t, rsaKey(), i.claims(map[string]any{"iss": "https://issuer.example"})), ExplainOptions{Fetch: true})
	if n := i.discoveries.Load() + i.keyFetches.Load(); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
	a.Explain(context.Background(), unsigned(map[string]any{"alg": "RS256", "kid": "?"}, i.claims(nil), "x"), ExplainOptions{Fetch: true})
	if n := i.keyFetches.Load(); n != 1 {
		t.Errorf("%d key fetches for an unknown key id, want 1", n)
	}
	if _, err := a.Authenticate(context.Background(), token); !errors.Is(err, ErrNotReady) {
		t.Errorf("what was explained stays: %v", err)
	}
	i.down()
	e := a.Explain(context.Background(), token, ExplainOptions{Fetch: true})
	if e.Outcome != OutcomeSkipped || !strings.Contains(e.text(), "keys: skipped: cannot be fetched: discovery: 500") {
		t.Error(e.text())
	}
}
