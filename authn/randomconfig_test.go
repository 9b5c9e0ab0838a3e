package authn

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
)

// configCase is one random configuration, in the forms that edge and kube-apiserver read.
type configCase struct {
	cfg     Options
	algs    []string // signing algorithms; nil: kube-apiserver's default
	rsa     bool     // the issuers sign tokens with RS256; false: with ES256
	entries []entry
}

// entry is one issuer of a random configuration, with its server and its keys.
type entry struct {
	spec     apiserver.JWTAuthenticator
	server   *testIssuer
	keys     []jose.JSONWebKey // one RSA key and one EC key
	features []string          // kinds of rules and mappings that the field spec uses, for the statistics of the test
}

// world contains the issuers for random configurations. The server of the third issuer is not at
// its issuer URL.
type world struct {
	urls    []string
	servers []*testIssuer
	keys    [][]jose.JSONWebKey
}

func newWorld(t testing.TB) *world {
	w := &world{}
	for n := range 3 {
		keys := []jose.JSONWebKey{rsaKeys()[n%2], ecKeyNamed("ec")}
		i := newTestIssuer(t, keys...)
		w.servers, w.keys, w.urls = append(w.servers, i), append(w.keys, keys), append(w.urls, i.URL)
	}
	w.urls[2] = "https://issuer.example/realm"
	w.servers[2].discover(map[string]any{"issuer": w.urls[2], "jwks_uri": w.servers[2].URL + "/keys"})
	return w
}

// flagCases returns configurations that are made from flags. Together they use every flag.
func (w *world) flagCases(t testing.TB) (cases []*configCase) {
	for _, f := range []Flags{
		{},
		{UsernamePrefix: "-", GroupsClaim: "groups", GroupsPrefix: "oidc:"},
		{UsernamePrefix: "oidc:", GroupsClaim: "groups"},
		{UsernameClaim: "email", GroupsClaim: "groups"},
		{UsernameClaim: "email", UsernamePrefix: "m:"},
		{UsernameClaim: "name", GroupsClaim: "roles", GroupsPrefix: "-"},
		{UsernameClaim: "email_verified"},
		{RequiredClaims: map[string]string{"hd": "x.example", "name": ""}},
		{RequiredClaims: map[string]string{"hd": "x.example"}, SigningAlgs: []string{"ES256", "RS256"}},
		{SigningAlgs: []string{"ES256", "PS256"}, GroupsClaim: "groups"},
		{ClientID: "other", GroupsClaim: "sub"},
	} {
		f.IssuerURL, f.CAFile = w.urls[0], w.servers[0].caFile(t)
		if f.ClientID == "" {
			f.ClientID = "edge"
		}
		cases = append(cases, &configCase{
			cfg: Options{Flags: f}, algs: f.SigningAlgs, rsa: !slices.Contains(f.SigningAlgs, "ES256"),
			entries: []entry{{fromFlags(f), w.servers[0], w.keys[0], []string{"flags"}}},
		})
	}
	return cases
}

// fileCase returns a random configuration file with one to three issuers. A few of its expressions
// do not compile.
func (w *world) fileCase(t testing.TB, r *rand.Rand) *configCase {
	c := &configCase{algs: signingAlgs}
	config := &apiserver.AuthenticationConfiguration{}
	for _, n := range r.Perm(len(w.urls))[:1+r.IntN(len(w.urls))] {
		e := entry{server: w.servers[n], keys: w.keys[n]}
		e.spec.Issuer = apiserver.Issuer{URL: w.urls[n], CertificateAuthority: string(w.servers[n].pem()), Audiences: []string{"edge"}}
		if w.urls[n] != w.servers[n].URL {
			e.spec.Issuer.DiscoveryURL = w.servers[n].URL + wellKnown
			e.use("discovery URL")
		}
		e.random(r)
		c.entries = append(c.entries, e)
		config.JWT = append(config.JWT, e.spec)
	}
	if len(c.entries) > 1 {
		for i := range c.entries {
			c.entries[i].use("many issuers")
		}
	}
	c.cfg = Options{File: writeConfig(t, config, []string{"v1", "v1beta1"}[r.IntN(2)])}
	return c
}

// writeConfig writes a configuration to a file in the given API version, and returns the file's
// name.
func writeConfig(t testing.TB, config *apiserver.AuthenticationConfiguration, version string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "authentication.yaml")
	writeFile(t, name, encodeConfig(t, config, version))
	return name
}

func encodeConfig(t testing.TB, config *apiserver.AuthenticationConfiguration, version string) []byte {
	t.Helper()
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codec := serializer.NewCodecFactory(scheme).LegacyCodec(schema.GroupVersion{Group: "apiserver.config.k8s.io", Version: version})
	data, err := runtime.Encode(codec, config)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (e *entry) use(feature string) { e.features = append(e.features, feature) }

// random fills a configuration entry with random rules. The entry is rarely invalid, but its rules
// often refuse a token.
func (e *entry) random(r *rand.Rand) {
	one := func(list []string) string { return list[r.IntN(len(list))] }
	prefixes := []string{"", "oidc:", "-", "p#"}
	if r.IntN(3) == 0 {
		e.spec.Issuer.Audiences = [][]string{{"edge", "other"}, {"other", "third", "edge"}, {"other"}}[r.IntN(3)]
		e.spec.Issuer.AudienceMatchPolicy = apiserver.AudienceMatchPolicyMatchAny
		e.use("audiences")
	}
	m := &e.spec.ClaimMappings
	if r.IntN(2) == 0 {
		m.Username = apiserver.PrefixedClaimOrExpression{Claim: one([]string{"sub", "sub", "email", "name", "tenant", "dotted.key"}), Prefix: new(one(prefixes))}
		e.use("username claim")
	} else {
		m.Username.Expression = usernameExpressions.pick(r)
		e.use("username expression")
	}
	switch r.IntN(4) {
	case 0:
		m.Groups = apiserver.PrefixedClaimOrExpression{Claim: one([]string{"groups", "groups", "roles", "tenant"}), Prefix: new(one(prefixes))}
		e.use("groups claim")
	case 1, 2:
		m.Groups.Expression = listExpressions.pick(r)
		e.use("groups expression")
	}
	switch r.IntN(4) {
	case 0:
		m.UID.Claim = one([]string{"uid", "uid", "sub", "num"})
		e.use("uid claim")
	case 1:
		m.UID.Expression = uidExpressions.pick(r)
		e.use("uid expression")
	}
	for n := range r.IntN(3) {
		key := fmt.Sprintf("example.com/k%d", n)
		if r.IntN(40) == 0 {
			key = one([]string{"example.com/k0", "nodomain", "sub.kubernetes.io/x", "Example.com/Upper", ""})
		}
		m.Extra = append(m.Extra, apiserver.ExtraMapping{Key: key, ValueExpression: listExpressions.pick(r)})
		e.use("extra expression")
	}
	e.rules(r)
	if r.IntN(40) == 0 {
		e.spoil(r)
	}
}

func (e *entry) rules(r *rand.Rand) {
	message := []string{"", "ask the operator"}
	for range r.IntN(3) {
		rule := apiserver.ClaimValidationRule{Expression: claimRules.pick(r), Message: message[r.IntN(2)]}
		feature := "claim rule"
		if r.IntN(3) == 0 {
			required := [][2]string{{"hd", "x.example"}, {"tenant", "acme"}, {"name", "Jane"}, {"flag", "true"}}[r.IntN(4)]
			rule, feature = apiserver.ClaimValidationRule{Claim: required[0], RequiredValue: required[1]}, "required claim"
		}
		same := func(other apiserver.ClaimValidationRule) bool {
			return other.Claim == rule.Claim && other.Expression == rule.Expression
		}
		if r.IntN(40) > 0 && slices.ContainsFunc(e.spec.ClaimValidationRules, same) {
			continue // usually leave out a second equal rule, because it makes the configuration invalid
		}
		e.spec.ClaimValidationRules = append(e.spec.ClaimValidationRules, rule)
		e.use(feature)
	}
	// Usually add the rule about email_verified that an expression with claims.email requires.
	if strings.Contains(e.spec.ClaimMappings.Username.Expression, "claims.email") && r.IntN(10) > 0 {
		e.spec.ClaimValidationRules = append(e.spec.ClaimValidationRules,
			apiserver.ClaimValidationRule{Expression: "claims.?email_verified.orValue(true) == true"})
		e.use("claim rule")
	}
	if r.IntN(2) == 0 {
		e.spec.UserValidationRules = append(e.spec.UserValidationRules,
			apiserver.UserValidationRule{Expression: userRules.pick(r), Message: message[r.IntN(2)]})
		e.use("user rule")
	}
}

// spoil makes a configuration entry invalid: it can be decoded, but not validated.
func (e *entry) spoil(r *rand.Rand) {
	s := &e.spec
	switch r.IntN(9) {
	case 0:
		s.Issuer.URL = strings.Replace(s.Issuer.URL, "https", "http", 1)
	case 1:
		s.Issuer.URL += "?a=b"
	case 2:
		s.Issuer.Audiences = nil
	case 3:
		s.Issuer.Audiences = []string{"edge", "edge"}
	case 4:
		s.Issuer.DiscoveryURL = s.Issuer.URL
	case 5:
		s.Issuer.CertificateAuthority = "no PEM"
	case 6:
		s.ClaimMappings.Username = apiserver.PrefixedClaimOrExpression{Claim: "sub"} // set a username claim without the prefix that a claim requires
	case 7:
		s.ClaimMappings.Username = apiserver.PrefixedClaimOrExpression{Claim: "sub", Prefix: new(""), Expression: "claims.sub"}
	case 8:
		s.ClaimValidationRules = append(s.ClaimValidationRules, apiserver.ClaimValidationRule{})
	}
}
