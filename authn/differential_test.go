package authn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
)

// TestAuthenticatorDifferential checks that edge accepts and refuses the same tokens as
// kube-apiserver's own authenticator, with random configurations and tokens. The generator makes no
// references to groups (see TestGroupsOverage) and no white space in a token (see
// TestAlgConfusion): edge deliberately refuses more of these tokens.
func TestAuthenticatorDifferential(t *testing.T) {
	const (
		seed    = 20250711
		configs = 205
	)
	part := 1 // the test runs 1/part of its cases
	if testing.Short() {
		part = 4
	}
	tokens := 64 / part // number of tokens for each configuration
	cases := 10_000 / part
	w := newWorld(t)
	all := w.flagCases(t)
	for n := len(all); n < configs; n++ {
		all = append(all, w.fileCase(t, rand.New(rand.NewPCG(seed, uint64(n)))))
	}
	seen := &tally{features: make(map[string]int)}
	t.Run("configs", func(t *testing.T) {
		for n, c := range all {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				differ(t, c, rand.New(rand.NewPCG(seed, uint64(n))), tokens, seen)
				if t.Failed() {
					t.Logf("seed %d, configuration %d: %s", seed, n, describeCase(c))
				}
			})
		}
	})
	t.Logf("seed %d: %d accepted, %d refused, %d invalid configurations, %v", seed, seen.accepted, seen.refused, seen.invalid, seen.features)
	total := seen.accepted + seen.refused + seen.invalid
	if total < cases || seen.accepted < total/4 || seen.refused < total/4 || seen.invalid < 10 || seen.invalid > configs/3 {
		t.Errorf("%d cases, %d accepted, %d refused, %d invalid configurations: the generator tests one side only",
			total, seen.accepted, seen.refused, seen.invalid)
	}
	for _, feature := range []string{
		"flags", "many issuers", "discovery URL", "audiences", "username claim", "username expression", "groups claim", "groups expression",
		"uid claim", "uid expression", "extra expression", "required claim", "claim rule", "user rule",
	} {
		if least := 50 / part; seen.features[feature] < least {
			t.Errorf("%s: only %d accepted tokens", feature, seen.features[feature])
		}
	}
	for _, refusal := range []string{
		"username expression", "groups expression", "uid expression", "extra expression", "required claim", "validation rule",
		"claim validation rule expression", "user validation rule expression",
	} {
		if least := max(5/part, 1); seen.features["refused: "+refusal] < least {
			t.Errorf("refused for a %s: only %d tokens", refusal, seen.features["refused: "+refusal])
		}
	}
}

// TestCostlyExpression checks that edge refuses an expression that exceeds CEL's cost limit, as
// kube-apiserver does. Evaluating it is slow, so it is not among the generated expressions.
func TestCostlyExpression(t *testing.T) {
	w := newWorld(t)
	e := entry{server: w.servers[0], keys: w.keys[0], spec: fromFlags(Flags{IssuerURL: w.urls[0], ClientID: "edge"})}
	e.spec.Issuer.CertificateAuthority = string(e.server.pem())
	e.spec.ClaimValidationRules = []apiserver.ClaimValidationRule{{Expression: costly}}
	c := &configCase{entries: []entry{e}, algs: signingAlgs}
	c.cfg.File = writeConfig(t, &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{e.spec}}, "v1")
	seen := &tally{features: make(map[string]int)}
	differ(t, c, rand.New(rand.NewPCG(1, 1)), 4, seen)
	if seen.features["refused: claim validation rule expression"] == 0 {
		t.Errorf("%+v: no token was refused for the cost", seen.features)
	}
}

// TestOtherDistributedClaims checks tokens that contain only a reference to claims other than the
// groups: edge and kube-apiserver must decide in the same way.
func TestOtherDistributedClaims(t *testing.T) {
	i := newTestIssuer(t, ecKey())
	flags := Flags{IssuerURL: i.URL, ClientID: "edge", CAFile: i.caFile(t), GroupsClaim: "groups", SigningAlgs: []string{"ES256"}}
	a := start(t, Options{Flags: flags})
	oracle, err := apiServer(t, i, fromFlags(flags), flags.SigningAlgs)
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for _, groups := range []any{nil, []string{"dev"}} {
		for _, names := range []any{nil, map[string]any{}, map[string]any{"address": "src"}, map[string]any{"address": 7}, "x"} {
			for _, sources := range []any{nil, map[string]any{}, map[string]any{"src": map[string]any{"JWT": "x"}}, map[string]any{"src": map[string]any{"JWT": 7}}, "x"} {
				claims := i.claims(map[string]any{"groups": groups, "_claim_names": names, "_claim_sources": sources})
				if _, err := compare(t, a, oracle, sign(t, ecKey(), claims)); err == nil {
					accepted++
				}
			}
		}
	}
	if accepted < 10 || accepted > 30 {
		t.Errorf("%d of 50 accepted: one side only", accepted)
	}
}

// tally counts the accepted and refused tokens of a differential test.
type tally struct {
	mu                         sync.Mutex
	accepted, refused, invalid int
	features                   map[string]int
}

// differ compares the decisions of edge and kube-apiserver about random tokens, under one
// configuration.
func differ(t *testing.T, c *configCase, r *rand.Rand, tokens int, seen *tally) {
	a, err := New(c.cfg)
	var oracle firstOf
	var oracleErr error
	for _, e := range c.entries {
		one, err := apiServer(t, e.server, e.spec, c.algs)
		if err != nil {
			oracleErr = err
			break
		}
		oracle = append(oracle, one)
	}
	if (err == nil) != (oracleErr == nil) {
		t.Fatalf("the configuration: we say %v, kube-apiserver says %v", err, oracleErr)
	}
	if err != nil {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		seen.invalid++
		return
	}
	run(t, a)
	waitForAll(t, a)
	for range tokens {
		token := generateToken(t, r, c)
		v, err := compare(t, a, oracle, token)
		seen.count(c, v, err)
	}
}

func (s *tally) count(c *configCase, v Verified, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refused++
		if wrong := new(RefusedError); errors.As(err, &wrong) && wrong.Reason == ReasonClaims {
			before, _, _ := strings.Cut(wrong.Detail, ` "`)
			s.features["refused: "+before]++
		}
		return
	}
	s.accepted++
	for _, e := range c.entries {
		if e.spec.Issuer.URL == v.Issuer {
			for _, feature := range e.features {
				s.features[feature]++
			}
		}
	}
}

func describeCase(c *configCase) string {
	if c.cfg.File == "" {
		return fmt.Sprintf("%+v", c.cfg.Flags)
	}
	var all []string
	for _, e := range c.entries {
		spec := e.spec
		spec.Issuer.CertificateAuthority = ""
		text, _ := json.Marshal(spec)
		all = append(all, string(text))
	}
	return strings.Join(all, "\n")
}

// FuzzClaims checks that edge and kube-apiserver decide in the same way about a signed token with
// any payload.
func FuzzClaims(f *testing.F) {
	i := newTestIssuer(f, ecKey())
	cfg := Options{Flags: Flags{
		IssuerURL: i.URL, ClientID: "edge", CAFile: i.caFile(f), UsernameClaim: "email", GroupsClaim: "groups", GroupsPrefix: "g:",
		SigningAlgs: []string{"ES256"}, RequiredClaims: map[string]string{"hd": "x.example"},
	}}
	a := start(f, cfg)
	oracle, err := apiServer(f, i, fromFlags(cfg.Flags), cfg.Flags.SigningAlgs)
	if err != nil {
		f.Fatal(err)
	}
	good := fmt.Sprintf(`{"iss":%q,"aud":"edge","exp":%d,"hd":"x.example","email":"j@x.example"`, i.URL, time.Now().Add(24*time.Hour).Unix())
	for _, more := range []string{
		`}`, `,"groups":["dev"],"jti":"1"}`, `,"groups":"dev","email_verified":true}`, `,"email_verified":false}`, `,"nbf":99999999999}`,
		`,"groups":{}}`, `,"groups":null,"jti":7}`, `,"hd":"y"}`, `} `, ``, `,"email":["a"]}`, `,"EMAIL":"b","Email_verified":false}`,
	} {
		f.Add(more)
	}
	f.Fuzz(func(t *testing.T, more string) {
		claims := []byte(good + more)
		if distributed(claims) {
			return
		}
		compare(t, a, oracle, sign(t, ecKey(), claims))
	})
}

// distributed reports whether a payload contains references to claims instead of the claims. edge
// deliberately refuses more of these tokens than kube-apiserver.
func distributed(claims []byte) bool {
	var c map[string]json.RawMessage
	return json.Unmarshal(claims, &c) == nil && c["_claim_names"] != nil || bytes.Contains(bytes.ToLower(claims), []byte("_claim_"))
}
