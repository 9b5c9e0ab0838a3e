package authn

import (
	"context"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
)

// TestTokenCanary checks that errors and log contain no text from a token: each token contains a
// marker, for which the test searches.
func TestTokenCanary(t *testing.T) {
	const canary = "kanarienvogel"
	log := &logBuffer{}
	i := newTestIssuer(t, rsaKey())
	cfg := i.config(t)
	cfg.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Flags.RequiredClaims = map[string]string{"hd": "x.example"}
	clock := newClock()
	cfg.Now = clock.Now
	a := start(t, cfg)
	clock.advance(time.Minute)

	tokens := []string{canary, canary + "." + canary + "." + canary, unsigned(map[string]any{"alg": canary}, canary, canary),
		unsigned(map[string]any{"alg": "RS256", "kid": canary}, i.claims(nil), canary)}
	for _, claim := range []string{"iss", "aud", "exp", "nbf", "iat", "sub", "groups", "hd", "_claim_names"} {
		tokens = append(tokens, sign(t, rsaKey(), i.claims(map[string]any{claim: canary})))
	}
	quiet := func(a *Authenticator, token string) {
		t.Helper()
		_, err := a.Authenticate(context.Background(), token)
		if err == nil {
			t.Fatalf("accepted: %s", token)
		}
		for _, secret := range []string{canary, base64.RawURLEncoding.EncodeToString([]byte(canary)), token} {
			if strings.Contains(err.Error(), secret) || strings.Contains(clientMessageOf(t, err), secret) {
				t.Errorf("%v, or %q, says %s", err, clientMessageOf(t, err), secret)
			}
		}
	}
	for _, token := range tokens {
		quiet(a, token)
	}
	// An error of CEL quotes the values that the expression reads. Neither edge's error nor its log
	// may contain such a value of the token.
	for _, spoil := range []func(*apiserver.JWTAuthenticator){
		func(s *apiserver.JWTAuthenticator) {
			s.ClaimMappings.Username = apiserver.PrefixedClaimOrExpression{Expression: "string(int(claims.sub))"}
		},
		func(s *apiserver.JWTAuthenticator) {
			s.ClaimMappings.Groups.Expression, s.ClaimMappings.Groups.Claim = "claims[claims.sub]", ""
		},
		func(s *apiserver.JWTAuthenticator) { s.ClaimMappings.UID.Expression = "claims[claims.sub]" },
		func(s *apiserver.JWTAuthenticator) {
			s.ClaimMappings.Extra = []apiserver.ExtraMapping{{Key: "example.com/k", ValueExpression: "claims[claims.sub]"}}
		},
		func(s *apiserver.JWTAuthenticator) {
			s.ClaimValidationRules = []apiserver.ClaimValidationRule{{Expression: "url(claims.sub).getHost() == ''"}}
		},
		func(s *apiserver.JWTAuthenticator) {
			s.UserValidationRules = []apiserver.UserValidationRule{{Expression: "int(user.username) > 0"}}
		},
	} {
		spec := i.accepts("")
		spec.ClaimMappings.Groups.Prefix = nil
		if spec.ClaimMappings.Groups.Claim = ""; spec.ClaimMappings.Username.Expression == "" {
			spoil(&spec)
		}
		b, _ := startFile(t, log, defaultSchedule, spec)
		quiet(b, sign(t, rsaKey(), i.claims(map[string]any{"sub": canary})))
	}
	if lines := strings.Join(log.lines(), "\n"); strings.Contains(lines, canary) {
		t.Errorf("logged: %s", lines)
	}
}
