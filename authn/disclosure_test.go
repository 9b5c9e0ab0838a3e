package authn

import (
	"context"
	"crypto/x509/pkix"
	"edge/review"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/user"

	"edge/internal/testkit"
)

// clientMessageOf returns the text about a refused token that the client receives.
func clientMessageOf(t testing.TB, err error) string {
	t.Helper()
	wrong := new(RefusedError)
	if !errors.As(err, &wrong) {
		t.Fatalf("%v is no RefusedError", err)
	}
	return wrong.ClientMessage
}

// canaryValue is the value of claims in these tests. No message about a token may contain it.
const canaryValue = "kanarienvogel"

// clientMessageCases returns tokens that each have one fault, but not in signature, issuer or
// audience. With each token it returns the text about the fault that the client receives.
func clientMessageCases(now time.Time) map[string]struct {
	claims        map[string]any
	clientMessage string
} {
	return map[string]struct {
		claims        map[string]any
		clientMessage string
	}{
		"expired":               {map[string]any{"exp": now.Add(-time.Hour).Unix()}, "the token has expired: log in again"},
		"without exp":           {map[string]any{"exp": nil}, "the token has expired: log in again"},
		"not yet valid":         {map[string]any{"nbf": now.Add(time.Hour).Unix()}, "the token is not valid yet: try again later, or compare the issuer's clock with edge's"},
		"not valid in 2 min":    {map[string]any{"nbf": now.Add(2 * time.Minute).Unix()}, "the token is not valid yet: try again later, or compare the issuer's clock with edge's"},
		"exp is text":           {map[string]any{"exp": canaryValue}, "the claims are not those of an ID token"},
		"no name":               {map[string]any{"email": nil}, `username claim "email" is missing`},
		"name is a list":        {map[string]any{"email": []string{canaryValue}}, `username claim "email" is not a string`},
		"email not verified":    {map[string]any{"email_verified": false}, "email_verified is false: verify your email address with the issuer"},
		"email perhaps":         {map[string]any{"email_verified": canaryValue}, "email_verified is not a boolean"},
		"groups are an object":  {map[string]any{"groups": map[string]any{"a": canaryValue}}, `groups claim "groups" is neither a string nor a list of strings`},
		"groups elsewhere":      {map[string]any{"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://" + canaryValue}}}, `the token only refers to its "groups" claim instead of containing it (too many groups?); configure the issuer to send fewer groups`},
		"groups nowhere":        {map[string]any{"groups": nil, "_claim_names": map[string]any{"groups": "src1"}}, "the claims are not those of an ID token"},
		"uid is a number":       {map[string]any{"uid": 7}, "claimMappings.uid returns a value that is not a string"},
		"no uid":                {map[string]any{"uid": nil}, "claimMappings.uid cannot be evaluated with these claims"},
		"extra is a number":     {map[string]any{"team": 7}, "claimMappings.extra[1] returns neither a string nor a list of strings"},
		"no extra":              {map[string]any{"team": nil}, "claimMappings.extra[1] cannot be evaluated with these claims"},
		"required claim":        {map[string]any{"hd": canaryValue}, `required claim "hd" has another value`},
		"no required claim":     {map[string]any{"hd": nil}, `required claim "hd" is missing`},
		"a rule":                {map[string]any{"mode": canaryValue}, "claimValidationRules[2] is not satisfied"},
		"a rule with a message": {map[string]any{"flag": false}, "claimValidationRules[3] is not satisfied: raise the flag"},
		"a rule that fails":     {map[string]any{"flag": nil}, "claimValidationRules[3] cannot be evaluated with these claims: raise the flag"},
		"a user rule":           {map[string]any{"email": "root@" + canaryValue}, "userValidationRules[1] is not satisfied: no root"},
	}
}

// goodForAll returns the claims of a token without any fault, with the changes in the parameter
// change.
func (i *testIssuer) goodForAll(change map[string]any) map[string]any {
	claims := i.claims(map[string]any{
		"email": "jane@x.example", "email_verified": true, "groups": []string{"dev"}, "uid": "u-1", "team": "blue", "hd": "x.example", "mode": "a", "flag": true,
	})
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

// withRules returns a configuration entry for this issuer with all kinds of rules that can refuse a
// token after its signature, issuer and audience are accepted.
func (i *testIssuer) withRules() apiserver.JWTAuthenticator {
	spec := i.accepts("")
	none := ""
	spec.ClaimMappings.Username = apiserver.PrefixedClaimOrExpression{Claim: "email", Prefix: &none}
	spec.ClaimMappings.UID.Expression = "claims.uid"
	spec.ClaimMappings.Extra = []apiserver.ExtraMapping{{Key: "example.com/hd", ValueExpression: "claims.?hd.orValue('')"}, {Key: "example.com/team", ValueExpression: "claims.team"}}
	spec.ClaimValidationRules = []apiserver.ClaimValidationRule{
		{Expression: "claims.sub != ''"}, {Claim: "hd", RequiredValue: "x.example"}, {Expression: "claims.mode == 'a'"}, {Expression: "claims.flag == true", Message: "raise the\nflag"},
	}
	spec.UserValidationRules = []apiserver.UserValidationRule{{Expression: "user.uid != ''"}, {Expression: "!user.username.startsWith('root')", Message: "no root"}}
	return spec
}

// TestHolderIsTold checks that the client receives the reason of a refusal if signature, issuer and
// audience of its token are right. If one of the three is wrong, the client receives no reason,
// whatever else is wrong.
func TestHolderIsTold(t *testing.T) {
	i, other := newTestIssuer(t, rsaKey()), newTestIssuer(t, ecKey())
	clock := newClock()
	a := start(t, Options{Now: clock.Now, File: writeConfig(t, &apiserver.AuthenticationConfiguration{
		JWT: []apiserver.JWTAuthenticator{i.withRules(), other.withRules()},
	}, "v1")})
	waitForAll(t, a)
	if _, err := a.Authenticate(t.Context(), sign(t, rsaKey(), i.goodForAll(nil))); err != nil {
		t.Fatal(err)
	}
	for name, test := range clientMessageCases(clock.Now()) {
		claims := i.goodForAll(test.claims)
		_, err := a.Authenticate(t.Context(), sign(t, rsaKey(), claims))
		if got := clientMessageOf(t, err); got != test.clientMessage {
			t.Errorf("%s: told %q, want %q", name, got, test.clientMessage)
		}
		if strings.Contains(err.Error(), canaryValue) || strings.Contains(clientMessageOf(t, err), canaryValue) {
			t.Errorf("%s: a claim's value is told: %v", name, err)
		}
		with := func(change string, value any) map[string]any {
			spoilt := i.goodForAll(test.claims)
			spoilt[change] = value
			return spoilt
		}
		for what, token := range map[string]string{
			"another key, same id":   sign(t, otherRSA(), claims),
			"another key, other id":  sign(t, ecKeyNamed("mine"), claims),
			"the other issuer's key": sign(t, ecKey(), claims),
			"no signature":           unsigned(map[string]any{"alg": "RS256", "kid": "rsa"}, claims, ""),
			"alg none":               unsigned(map[string]any{"alg": "none"}, claims, ""),
			"another audience":       sign(t, rsaKey(), with("aud", "other")),
			"other audiences":        sign(t, rsaKey(), with("aud", []string{"other", ""})),
			"no audience":            sign(t, rsaKey(), with("aud", nil)),
			"aud is an object":       sign(t, rsaKey(), with("aud", map[string]any{"edge": "edge"})),
			"the last aud counts":    sign(t, rsaKey(), lastCounts(t, with("aud", "other"))),
			"another issuer":         sign(t, rsaKey(), with("iss", "https://issuer.example")),
			"the other issuer":       sign(t, rsaKey(), with("iss", other.URL)),
		} {
			if _, err := a.Authenticate(t.Context(), token); err == nil || clientMessageOf(t, err) != "" {
				t.Errorf("%s, %s: told %q", name, what, clientMessageOf(t, err))
			}
		}
	}
}

// TestToldBesideOtherRefusals checks that the client also receives the reason for its token if its
// certificate is refused too, or if the API server's review refuses the token too. If the review
// has no answer, the client receives no reason, because the token may be good.
func TestToldBesideOtherRefusals(t *testing.T) {
	i, other := newTestIssuer(t, rsaKey()), newTestIssuer(t, otherRSA())
	second := other.accepts("2:")
	second.Issuer.Audiences = []string{"two"}
	a, _ := startFile(t, &logBuffer{}, defaultSchedule, i.accepts("1:"), second)
	waitForAll(t, a)
	expired := map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}
	late := sign(t, rsaKey(), i.claims(expired))
	const told = "the token has expired: log in again"
	for name, test := range map[string]struct{ token, clientMessage string }{
		"the first's":                      {late, told},
		"the second's":                     {sign(t, otherRSA(), other.claims(map[string]any{"aud": "two", "exp": expired["exp"]})), told},
		"the second's, by the first's key": {sign(t, rsaKey(), other.claims(map[string]any{"aud": "two", "exp": expired["exp"]})), ""},
		"the second's, for the first":      {sign(t, otherRSA(), other.claims(expired)), ""},
		"the first's, for the second":      {sign(t, rsaKey(), i.claims(map[string]any{"aud": "two", "exp": expired["exp"]})), ""},
		"nobody's":                         {canaryValue, ""},
	} {
		for what, review := range map[string]func(context.Context, string) (user.Info, error){
			"no review":  nil,
			"a no":       func(context.Context, string) (user.Info, error) { return nil, errReviewedNo },
			"other ears": func(context.Context, string) (user.Info, error) { return nil, errReviewedAway },
		} {
			r := bearerRequest(t)
			r.Header.Set("Authorization", "Bearer "+test.token)
			_, err := NewChain(ChainOptions{Tokens: a, Review: review}).Authenticate(r)
			if got := clientMessageOf(t, err); got != test.clientMessage {
				t.Errorf("%s, %s: told %q, want %q", name, what, got, test.clientMessage)
			}
		}
	}
	unknown := func(context.Context, string) (user.Info, error) {
		return nil, tokenReview.Unavailable(errors.New("no route"), "try again")
	}
	r := bearerRequest(t)
	r.Header.Set("Authorization", "Bearer "+late)
	if _, err := NewChain(ChainOptions{Tokens: a, Review: unknown}).Authenticate(r); !errors.As(err, new(*review.Error)) || isRefusal(err) {
		t.Errorf("nobody knows: %v", err)
	}

	// The error about a refused certificate comes first. The client must still receive the reason
	// for its refused token.
	root, strange := testkit.NewAuthority(t, "root"), testkit.NewAuthority(t, "strange")
	ca, _ := startClientCA(t, root)
	var err error
	server := serveTLS(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err = NewChain(ChainOptions{Tokens: a, ClientCA: ca}).Authenticate(r)
	})
	shown := strange.Client(t, pkix.Name{CommonName: "jim"})
	client := clientOf(t, server, shown, false)
	for token, want := range map[string]string{late: told, canaryValue: ""} {
		req, reqErr := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if reqErr != nil {
			t.Fatal(reqErr)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, reqErr := client.Do(req)
		if reqErr != nil {
			t.Fatal(reqErr)
		}
		resp.Body.Close()
		if got := clientMessageOf(t, err); got != want || !strings.Contains(err.Error(), "certificate: ") {
			t.Errorf("beside a certificate: told %q, want %q; %v", got, want, err)
		}
	}
}

// lastCounts returns a payload with two aud members. The first aud is good, but the last one
// counts.
func lastCounts(t testing.TB, claims map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte(`{"aud":"edge",`), text[1:]...)
}
