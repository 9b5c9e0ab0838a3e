package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refusalOf sends a GET to edge with the method ask, and returns the Status in the response.
func (e *instance) refusalOf(token, path string, header ...string) metav1.Status {
	e.Helper()
	resp, body := e.ask(token, path, header...)
	var status metav1.Status
	if err := json.Unmarshal([]byte(body), &status); err != nil || int(status.Code) != resp.StatusCode || status.Kind != "Status" {
		e.Errorf("%s %s: %v", resp.Status, body, err)
	}
	return status
}

// TestHolderReadsWhy checks that the holder of a token with a valid signature, issuer and audience
// gets the reason of a refusal in the Status, for plain requests and for exec. If the signature,
// the issuer or the audience is not valid, the Status is the same for every reason. The log does
// not have these messages.
func TestHolderReadsWhy(t *testing.T) {
	t.Parallel()
	const canary = "kanarienvogel"
	b := newBed(t)
	ca, _ := json.Marshal(b.authorityText(b.authority("issuer.crt", b.issuer)))
	e := b.serveOnly(append(b.upstream(), "--authentication-config="+b.file("authn.yaml", `
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: "`+b.issuer.URL+`", audiences: [edge], certificateAuthority: `+string(ca)+`}
  claimMappings: {username: {claim: email, prefix: ""}, groups: {claim: roles, prefix: ""}}
  claimValidationRules:
  - {claim: name, requiredValue: Jane}
  - {expression: "claims.?team.orValue('') != '`+canary+`'"}
  - {expression: "claims.?site.orValue('') != '`+canary+`'", message: "your site has no access <yet>"}
  userValidationRules:
  - {expression: "!user.groups.exists(g, g == '`+canary+`')"}
`))...)
	own := b.key
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol", "v5.channel.k8s.io"}
	for name, test := range map[string]struct {
		claims map[string]any
		code   int32
		says   string
	}{
		"expired":            {map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, 401, "Unauthorized: the token has expired: log in again"},
		"not yet valid":      {map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}, 401, "Unauthorized: the token is not valid yet"},
		"email not verified": {map[string]any{"email_verified": false}, 401, "Unauthorized: email_verified is false"},
		"groups elsewhere": {map[string]any{"_claim_names": map[string]any{"roles": "a"}, "_claim_sources": map[string]any{"a": map[string]any{"endpoint": "https://" + canary}}}, 401,
			"Unauthorized: the token only refers to its \"roles\""},
		"required claim":        {map[string]any{"name": canary}, 401, `Unauthorized: required claim "name" has another value`},
		"a rule":                {map[string]any{"team": canary}, 401, "Unauthorized: claimValidationRules[1] is not satisfied"},
		"a rule with a message": {map[string]any{"site": canary}, 401, "Unauthorized: claimValidationRules[2] is not satisfied: your site has no access <yet>"},
		"a user rule":           {map[string]any{"roles": []string{canary}}, 401, "Unauthorized: userValidationRules[0] is not satisfied"},
		"a group's name":        {map[string]any{"roles": []string{"dev", "night shift "}}, 403, `group "night shift "`},
		"no group's name":       {map[string]any{"roles": []string{"dev", ""}}, 403, `group ""`},
		"a system group":        {map[string]any{"roles": []string{"system:masters"}}, 403, `group "system:masters"`},
		"a user's name":         {map[string]any{"email": "jane\n"}, 403, `user name "jane\n"`},
	} {
		token := func(change ...any) string {
			claims := map[string]any{}
			maps.Copy(claims, test.claims)
			for n := 0; n < len(change); n += 2 {
				claims[change[n].(string)] = change[n+1]
			}
			return b.token(claims)
		}
		for way, header := range map[string][]string{"plain": nil, "exec": upgrade} {
			status := e.refusalOf(token(), "/api/v1/namespaces/a/pods/p/exec?command=x&stdout=1", header...)
			if status.Code != test.code || !strings.HasPrefix(status.Message, test.says) || strings.Contains(status.Message, canary) {
				t.Errorf("%s, %s: %d %q, want %d %q", name, way, status.Code, status.Message, test.code, test.says)
			}
		}
		if resp, body := e.ask(token(), "/api", "Accept", "text/plain"); test.code == 401 && (resp.StatusCode != http.StatusUnauthorized || body != "Unauthorized\n") {
			t.Errorf("%s, as text: %s %q", name, resp.Status, body)
		}
		b.key = jose.JSONWebKey{Key: foreign, KeyID: own.KeyID, Algorithm: own.Algorithm}
		forged := token()
		b.key = own
		for what, guess := range map[string]string{"another key": forged, "another audience": token("aud", "other"), "another issuer": token("iss", "https://issuer.example")} {
			if status := e.refusalOf(guess, "/api"); status.Code != 401 || status.Message != "Unauthorized" {
				t.Errorf("%s, %s: %d %q", name, what, status.Code, status.Message)
			}
		}
	}
	e.stop()
	log := e.log.String()
	for _, not := range []string{"log in again", "claimValidationRules", "Told"} {
		if strings.Contains(log, not) {
			t.Errorf("the log says %q", not)
		}
	}
	if !strings.Contains(log, `reason="authn: credential refused (expired): exp is in the past or missing"`) {
		t.Errorf("the log lacks the reason:\n%s", log)
	}
	if seen, _ := b.requests("/api"); len(seen) != 0 {
		t.Error("a refused request went upstream")
	}
}
