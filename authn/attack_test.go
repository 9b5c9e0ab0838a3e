package authn

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/apiserver/pkg/apis/apiserver"
)

// The tests of this file are named after the rows of the attack corpus in docs/security.md. Here
// each attack is made on an Authenticator. Tests with the same names in other packages make the
// attack on a running edge.

func TestAlgConfusion(t *testing.T) {
	i := newTestIssuer(t, rsaKey(), ecKey())
	cfg := i.config(t)
	cfg.Flags.SigningAlgs = []string{"RS256", "ES256"}
	a := start(t, cfg)
	claims := i.claims(nil)
	header := func(more map[string]any) map[string]any {
		h := map[string]any{"alg": "RS256", "kid": "rsa", "typ": "JWT"}
		maps.Copy(h, more)
		return h
	}
	// The attacker knows the issuer's public key, and signs the token with HMAC. The secret is the
	// public key in each of the forms below. Some JWT libraries once accepted such tokens.
	public := rsaKey().Key.(*rsa.PrivateKey).Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	hmac := func(secret []byte) string {
		return signWith(t, jose.HS256, jose.JSONWebKey{Key: secret, KeyID: "rsa"}, claims, nil)
	}
	jwk, err := jose.JSONWebKey{Key: public, KeyID: "rsa"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	says := func(name jose.HeaderKey, value any) *jose.SignerOptions {
		return new(jose.SignerOptions).WithHeader(name, value)
	}
	own := ecKeyNamed("rsa")
	good := sign(t, rsaKey(), claims)
	parts := strings.Split(good, ".")

	for name, test := range map[string]struct {
		token string
		want  Reason
	}{
		"none":                       {unsigned(header(map[string]any{"alg": "none"}), claims, ""), ReasonAlgorithm},
		"None":                       {unsigned(header(map[string]any{"alg": "None"}), claims, ""), ReasonAlgorithm},
		"no alg":                     {unsigned(map[string]any{"kid": "rsa"}, claims, "x"), ReasonAlgorithm},
		"alg is a number":            {unsigned(map[string]any{"alg": 7}, claims, "x"), ReasonAlgorithm},
		"none without signature":     {parts[0] + "." + parts[1] + ".", ReasonSignature},
		"HS256 with the key in DER":  {hmac(der), ReasonAlgorithm},
		"HS256 with the key in PEM":  {hmac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), ReasonAlgorithm},
		"HS256 with the key as JWK":  {hmac(jwk), ReasonAlgorithm},
		"not among the allowed":      {signWith(t, jose.PS256, rsaKey(), claims, nil), ReasonAlgorithm},
		"RS256 with an EC key's id":  {signWith(t, jose.RS256, jose.JSONWebKey{Key: otherRSA().Key, KeyID: "ec"}, claims, nil), ReasonSignature},
		"another key by the same id": {sign(t, otherRSA(), claims), ReasonSignature},
		"another key, no id":         {sign(t, jose.JSONWebKey{Key: otherRSA().Key}, claims), ReasonSignature},
		"embedded jwk":               {signWith(t, jose.ES256, jose.JSONWebKey{Key: own.Key}, claims, &jose.SignerOptions{EmbedJWK: true}), ReasonSignature},
		"jku":                        {signWith(t, jose.ES256, own, claims, says("jku", "https://attacker.example/keys")), ReasonSignature},
		"x5u":                        {signWith(t, jose.ES256, own, claims, says("x5u", "https://attacker.example/keys")), ReasonSignature},
		"unknown crit, good key":     {signWith(t, jose.RS256, rsaKey(), claims, says("crit", []string{"exp2"}).WithHeader("exp2", 1)), ReasonSignature},
		"crit is not a list":         {signWith(t, jose.RS256, rsaKey(), claims, says("crit", "b64")), ReasonSignature},
		"payload of another":         {parts[0] + "." + strings.Split(sign(t, rsaKey(), i.claims(map[string]any{"sub": "root"})), ".")[1] + "." + parts[2], ReasonSignature},
		"JSON serialisation":         {fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]), ReasonMalformed},
		"white space":                {good + "\n", ReasonMalformed},
		"padded":                     {good + "=", ReasonMalformed},
		"four parts":                 {good + ".", ReasonMalformed},
		"two parts":                  {parts[0] + "." + parts[1], ReasonMalformed},
		"empty":                      {"", ReasonMalformed},
		"dots":                       {"..", ReasonAlgorithm},
	} {
		t.Run(name, func(t *testing.T) {
			if got := refusal(t, a, test.token); got != test.want {
				t.Errorf("refused as %q, want %q", got, test.want)
			}
		})
	}
	if got := refusal(t, a, good); got != "" {
		t.Errorf("the good token is refused as %q", got)
	}
}

func TestIssuerMixup(t *testing.T) {
	i, other := newTestIssuer(t, rsaKey()), newTestIssuer(t, otherRSA())
	a, b := start(t, i.config(t)), start(t, other.config(t))

	theirs := sign(t, otherRSA(), other.claims(nil))
	if got := refusal(t, b, theirs); got != "" {
		t.Fatalf("the other issuer's own token: %q", got)
	}
	for name, test := range map[string]struct {
		token string
		want  Reason
	}{
		"another issuer's token":             {theirs, ReasonIssuer},
		"another issuer's key, in our name":  {sign(t, otherRSA(), i.claims(nil)), ReasonSignature},
		"our key, in another issuer's name":  {sign(t, rsaKey(), other.claims(nil)), ReasonIssuer},
		"our key, for another client":        {sign(t, rsaKey(), i.claims(map[string]any{"aud": []string{"other", "edge2", ""}})), ReasonAudience},
		"trailing slash":                     {sign(t, rsaKey(), i.claims(map[string]any{"iss": i.URL + "/"})), ReasonIssuer},
		"another case":                       {sign(t, rsaKey(), i.claims(map[string]any{"iss": strings.ToUpper(i.URL)})), ReasonIssuer},
		"issuer in a list":                   {sign(t, rsaKey(), i.claims(map[string]any{"iss": []string{i.URL}})), ReasonMalformed},
		"Google's short name, not at Google": {sign(t, rsaKey(), i.claims(map[string]any{"iss": "accounts.google.com"})), ReasonIssuer},
	} {
		if got := refusal(t, a, test.token); got != test.want {
			t.Errorf("%s: refused as %q, want %q", name, got, test.want)
		}
	}
	// Tokens of another issuer must not cause a fetch of keys.
	if n := i.keyFetches.Load(); n != 1 {
		t.Errorf("%d key fetches, want the first one only", n)
	}
}

// TestIssuerMixupAmongMany checks that two issuers whose keys have the same ID keep their own
// tokens, audiences, user names and rules.
func TestIssuerMixupAmongMany(t *testing.T) {
	one, two := newTestIssuer(t, rsaKey()), newTestIssuer(t, otherRSA())
	first, second := one.accepts("1:"), two.accepts("2:")
	second.Issuer.Audiences = []string{"two"}
	second.ClaimValidationRules = []apiserver.ClaimValidationRule{{Expression: "claims.hd == 'x.example'"}}
	a, _ := startFile(t, &logBuffer{}, defaultSchedule, first, second)
	ofTwo := map[string]any{"aud": "two", "hd": "x.example"}
	for name, test := range map[string]struct {
		token string
		want  string // the user's name, or the reason of the refusal
	}{
		"the first's":                          {sign(t, rsaKey(), one.claims(nil)), "1:jane"},
		"the second's":                         {sign(t, otherRSA(), two.claims(ofTwo)), "2:jane"},
		"the first's name, the second's key":   {sign(t, otherRSA(), one.claims(nil)), "(signature)"},
		"the second's name, the first's key":   {sign(t, rsaKey(), two.claims(ofTwo)), "(signature)"},
		"the second's, for the first's client": {sign(t, otherRSA(), two.claims(map[string]any{"hd": "x.example"})), "(audience)"},
		"the first's, for the second's client": {sign(t, rsaKey(), one.claims(map[string]any{"aud": "two"})), "(audience)"},
		"the second's rule is broken":          {sign(t, otherRSA(), two.claims(map[string]any{"aud": "two"})), "(claims)"},
		"trailing slash":                       {sign(t, rsaKey(), one.claims(map[string]any{"iss": one.URL + "/"})), "(issuer)"},
		"both issuers":                         {sign(t, rsaKey(), one.claims(map[string]any{"iss": []string{one.URL, two.URL}})), "(malformed)"},
		"iss twice, signed by the first": {sign(t, rsaKey(), fmt.Appendf(nil, `{"iss":%q,"aud":["edge","two"],"sub":"root","hd":"x.example","exp":%d,"iss":%q}`,
			one.URL, time.Now().Add(time.Hour).Unix(), two.URL)), "(signature)"},
	} {
		for range 2 { // the first pass verifies the token, the second pass finds it in the cache
			if got := nameOf(t, a, test.token); !strings.Contains(got, test.want) {
				t.Errorf("%s: %s, want %s", name, got, test.want)
			}
		}
	}
}

// TestGroupsOverage checks that edge refuses a token that contains a reference to its groups
// instead of the groups, and sends no request to the address in the token.
func TestGroupsOverage(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	trap := newTestIssuer(t)
	a := start(t, i.config(t))
	source := map[string]any{"src1": map[string]any{"endpoint": trap.URL + "/keys", "access_token": "x"}}

	overage := i.claims(map[string]any{"_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": source})
	if got := refusal(t, a, sign(t, rsaKey(), overage)); got != ReasonDistributedGroups {
		t.Errorf("refused as %q", got)
	}
	aggregated := maps.Clone(overage)
	aggregated["_claim_sources"] = map[string]any{"src1": map[string]any{"JWT": "x"}}
	if got := refusal(t, a, sign(t, rsaKey(), aggregated)); got != ReasonDistributedGroups {
		t.Errorf("aggregated: refused as %q", got)
	}
	both := maps.Clone(overage)
	both["groups"] = []string{"dev"}
	if got := refusal(t, a, sign(t, rsaKey(), both)); got != "" {
		t.Errorf("with its groups in it: refused as %q", got)
	}
	others := i.claims(map[string]any{"_claim_names": map[string]any{"address": "src1"}, "_claim_sources": source})
	if got := refusal(t, a, sign(t, rsaKey(), others)); got != "" {
		t.Errorf("other claims elsewhere: refused as %q", got)
	}
	// A token with a reference to its groups is refused too if the issuer comes from a
	// configuration file. If a CEL expression computes the groups, the token is accepted with the
	// groups that the expression returns, and edge sends no request to the address in the token.
	byExpression := newTestIssuer(t, ecKey())
	expression := byExpression.accepts("")
	expression.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Expression: "claims.?groups.orValue(['none'])"}
	many, _ := startFile(t, &logBuffer{}, defaultSchedule, i.accepts(""), expression)
	if got := refusal(t, many, sign(t, rsaKey(), overage)); got != ReasonDistributedGroups {
		t.Errorf("in a file: refused as %q", got)
	}
	overage["iss"] = byExpression.URL
	if v, err := many.Authenticate(context.Background(), sign(t, ecKey(), overage)); err != nil || !slices.Equal(v.User.GetGroups(), []string{"none"}) {
		t.Errorf("by an expression: %+v, %v", v, err)
	}
	if n := trap.keyFetches.Load() + trap.discoveries.Load(); n != 0 {
		t.Errorf("%d requests to an address out of a token", n)
	}
}

func TestUnknownKidFlood(t *testing.T) {
	const tokens, clients = 10_000, 50
	i := newTestIssuer(t, rsaKey())
	other := newTestIssuer(t, ecKey())
	clock := newClock()
	a := start(t, Options{
		File: writeConfig(t, &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{i.accepts("1:"), other.accepts("2:")}}, "v1"),
		Now:  clock.Now,
	})
	waitForAll(t, a)
	good := func(n int) string { return sign(t, rsaKey(), i.claims(map[string]any{"jti": fmt.Sprint(n)})) }

	for round := range 3 {
		clock.advance(demandInterval)
		before := i.keyFetches.Load()
		var wg sync.WaitGroup
		for client := range clients {
			wg.Go(func() {
				for n := range tokens / clients {
					header := map[string]any{"alg": "RS256", "kid": fmt.Sprintf("%d-%d-%d", round, client, n)}
					if got := refusal(t, a, unsigned(header, i.claims(nil), "signature")); got != ReasonSignature {
						t.Errorf("refused as %q", got)
					}
				}
			})
		}
		if got := refusal(t, a, good(round)); got != "" {
			t.Errorf("a good token in the flood: %q", got)
		}
		wg.Wait()
		if n := i.keyFetches.Load() - before; n != 1 {
			t.Errorf("%d key fetches in %v, want 1", n, demandInterval)
		}
	}
	if n := other.keyFetches.Load(); n != 1 {
		t.Errorf("%d key fetches at an issuer that nobody came for", n-1)
	}
}

// TestTokenBomb checks that an oversized token is refused before it costs much memory.
func TestTokenBomb(t *testing.T) {
	const most, each = 4 << 20, 32 // limit of the memory that edge may allocate for one token: 4 MiB, or 32 bytes for each byte of the token if that is more
	i := newTestIssuer(t, rsaKey())
	a := start(t, i.config(t))
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	deep := strings.Repeat(`{"a":`, 6000)
	for name, token := range map[string]string{
		"1 MiB":                      strings.Repeat("a", 1<<20),
		"a million dots":             strings.Repeat(".", 1e6),
		"as many dots as can be":     strings.Repeat(".", MaxTokenBytes),
		"deep header":                b64(deep) + "." + b64("{}") + ".c2ln",
		"deep list in the header":    b64(`{"alg":"RS256","x":`+strings.Repeat("[", 40000)) + "." + b64("{}") + ".c2ln",
		"deep claims":                b64(`{"alg":"RS256","kid":"rsa"}`) + "." + b64(deep) + ".c2ln",
		"deep and well-formed":       b64(`{"alg":"RS256","kid":"rsa"}`) + "." + b64(strings.Repeat("[", 20000)+strings.Repeat("]", 20000)) + ".c2ln",
		"a long signature":           b64(`{"alg":"RS256","kid":"rsa"}`) + "." + b64(`{"iss":"`+i.URL+`"}`) + "." + strings.Repeat("A", 60000),
		"many claims":                b64(`{"alg":"RS256","kid":"rsa"}`) + "." + b64(`{"iss":"`+i.URL+`"`+strings.Repeat(`,"a":1`, 7000)+`}`) + ".c2ln",
		"claims of all kinds":        b64(`{"alg":"RS256","kid":"rsa"}`) + "." + b64(`{"iss":"`+i.URL+`"`+manyMembers(5000)+`}`) + ".c2ln",
		"a long chain of x5c":        b64(`{"alg":"RS256","x5c":[`+strings.Repeat(`"AA==",`, 6000)+`""]}`) + "." + b64("{}") + ".c2ln",
		"a header as long as can be": b64(`{"alg":"RS256"`+manyMembers(60_000)+`}`) + "." + b64("{}") + ".c2ln",
		"claims as long as can be":   b64(`{"alg":"RS256","kid":"rsa"}`) + "." + b64(`{"iss":"`+i.URL+`"`+manyMembers(60_000)+`}`) + ".c2ln",
		"a header parameter again":   b64(`{"alg":"RS256"`+strings.Repeat(`,"kid":"x"`, 4000)+`}`) + "." + b64("{}") + ".c2ln",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := refusal(t, a, token)
		runtime.ReadMemStats(&after)
		if got == "" || (got == ReasonTooLarge) != (len(token) > MaxTokenBytes || name == "a header as long as can be") {
			t.Errorf("%s: %d bytes refused as %q", name, len(token), got)
		}
		if bytes := after.TotalAlloc - before.TotalAlloc; bytes > max(most, each*uint64(len(token))) {
			t.Errorf("%s: %d bytes allocated", name, bytes)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%x":%d`, i, i%10)
	}
	return b.String()
}

// TestNoClaimsWithoutSignature checks that a token without a verified signature gives no claims,
// even if the signature check is left out. So the order of the checks is not the only protection.
func TestNoClaimsWithoutSignature(t *testing.T) {
	i := newTestIssuer(t, rsaKey())
	a := start(t, i.config(t))
	one := &verification{rules: a.rules.Load(), token: sign(t, rsaKey(), i.claims(nil)), now: time.Now()}
	for _, check := range checks {
		if check.name == "signature" {
			continue
		}
		if err := check.run(one, t.Context()); (err == nil) != slices.Contains([]string{"form", "algorithm", "issuer", "not before"}, check.name) {
			t.Errorf("%s: %v", check.name, err)
		}
	}
	if one.idToken != nil || one.claims != nil || one.user.Name != "" {
		t.Errorf("claims that nobody verified: %+v", one.claims)
	}
}
