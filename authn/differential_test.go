package authn

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
)

// apiServer is kube-apiserver's own authenticator with the configuration that kube-apiserver makes of its --oidc-* flags.
func apiServer(t testing.TB, i *testIssuer, cfg Config) authenticator.Token {
	t.Helper()
	prefix := cfg.Flags.UsernamePrefix
	if prefix == "" && cfg.Flags.UsernameClaim != "email" {
		prefix = cfg.Flags.IssuerURL + "#"
	}
	if cfg.Flags.UsernamePrefix == "-" {
		prefix = ""
	}
	claim := cfg.Flags.UsernameClaim
	if claim == "" {
		claim = "sub" // the flag's default
	}
	structured := apiserver.JWTAuthenticator{
		Issuer:        apiserver.Issuer{URL: cfg.Flags.IssuerURL, Audiences: []string{cfg.Flags.ClientID}},
		ClaimMappings: apiserver.ClaimMappings{Username: apiserver.PrefixedClaimOrExpression{Claim: claim, Prefix: &prefix}},
	}
	if cfg.Flags.GroupsClaim != "" {
		structured.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Claim: cfg.Flags.GroupsClaim, Prefix: &cfg.Flags.GroupsPrefix}
	}
	for name, value := range cfg.Flags.RequiredClaims {
		structured.ClaimValidationRules = append(structured.ClaimValidationRules, apiserver.ClaimValidationRule{Claim: name, RequiredValue: value})
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	a, err := oidc.New(ctx, oidc.Options{
		JWTAuthenticator:     structured,
		SupportedSigningAlgs: cfg.Flags.SigningAlgs,
		Client:               i.Client(),
		Compiler:             compiler(),
	})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "kube-apiserver's authenticator", func() bool { return a.HealthCheck() == nil })
	return a
}

// outcome is all that the two must agree on.
type outcome struct {
	accepted bool
	name     string
	uid      string
	groups   []string
	extra    map[string][]string
}

func outcomeOf(u user.Info, accepted bool) outcome {
	if !accepted {
		return outcome{}
	}
	o := outcome{true, u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra()}
	if len(o.groups) == 0 {
		o.groups = nil
	}
	if len(o.extra) == 0 {
		o.extra = nil
	}
	return o
}

func compare(t *testing.T, a *Authenticator, oracle authenticator.Token, token string) (accepted bool) {
	t.Helper()
	v, err := a.Authenticate(context.Background(), token)
	ours := outcomeOf(v.User, err == nil)
	resp, ok, oracleErr := oracle.AuthenticateToken(context.Background(), token)
	theirs := outcome{}
	if ok && oracleErr == nil {
		theirs = outcomeOf(resp.User, true)
	}
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("token %s\n we say             %+v (%v)\n kube-apiserver says %+v (%v)", token, ours, err, theirs, oracleErr)
	}
	return ours.accepted
}

// flagSets are configurations that together use every flag.
func flagSets(i *testIssuer, t testing.TB) map[string]Config {
	configs := map[string]Flags{
		"defaults":        {},
		"no prefix":       {UsernamePrefix: "-", GroupsClaim: "groups", GroupsPrefix: "oidc:"},
		"prefix":          {UsernamePrefix: "oidc:", GroupsClaim: "groups"},
		"email":           {UsernameClaim: "email", GroupsClaim: "groups"},
		"email, prefixed": {UsernameClaim: "email", UsernamePrefix: "m:"},
		"name":            {UsernameClaim: "name", GroupsClaim: "roles", GroupsPrefix: "-"},
		"email_verified":  {UsernameClaim: "email_verified"},
		"required":        {RequiredClaims: map[string]string{"hd": "x.example", "name": ""}},
		"algorithms":      {SigningAlgs: []string{"ES256", "PS256"}, GroupsClaim: "groups"},
		"own issuer name": {ClientID: "other", GroupsClaim: "sub"},
	}
	named := make(map[string]Config, len(configs))
	for name, flags := range configs {
		flags.IssuerURL, flags.CAFile = i.URL, i.caFile(t)
		if flags.ClientID == "" {
			flags.ClientID = "edge"
		}
		named[name] = Config{Flags: flags}
	}
	return named
}

// raw is a JSON value as it stands in a token.
type raw string

// claimValues are what a claim may be: good and bad, of the right kind and of others.
func claimValues(i *testIssuer) map[string][]raw {
	now := time.Now().Unix()
	at := func(offset int64) raw { return raw(fmt.Sprint(now + offset)) }
	anything := []raw{`""`, `null`, `7`, `true`, `[]`, `{}`, `["a"]`, `"a"`, `1e400`, `[null]`}
	quoted := func(s string) raw { return raw(fmt.Sprintf("%q", s)) }
	values := map[string][]raw{
		"iss":            {quoted(i.URL), quoted(i.URL), quoted(i.URL), quoted(i.URL + "/"), `"https://issuer.example"`, `"accounts.google.com"`},
		"aud":            {`"edge"`, `"edge"`, `["edge"]`, `["other","edge"]`, `"other"`, `["other"]`, `["edge",7]`},
		"exp":            {at(3600), at(3600), at(3600), at(-30), at(30), raw(fmt.Sprintf("%d.9", now+3600)), raw(fmt.Sprintf("%de0", now+3600)), `"` + at(3600) + `"`, `99999999999999999999`, `-1`, `0`},
		"nbf":            {at(-3600), at(0), at(30), at(90), at(200), at(400), raw(fmt.Sprintf("%d.5", now+90)), `"` + at(90) + `"`, `"` + at(0) + `"`},
		"iat":            {at(0), at(-3600), at(3600), at(99999)},
		"sub":            {`"jane"`, `"jane"`, `"Jürgen"`, `"system:admin"`, `"a\u0000b"`, `"\ud800"`},
		"name":           {`"Jane Doe"`, `""`},
		"email":          {`"j@x.example"`, `"j@x.example"`},
		"email_verified": {`true`, `true`, `false`, `"true"`, `"false"`, `1`},
		"groups":         {`["dev","ops"]`, `["dev"]`, `"dev"`, `"dev,ops"`, `["dev",7]`, `["",null]`, `[["dev"]]`},
		"roles":          {`["dev"]`, `"dev"`},
		"hd":             {`"x.example"`, `"x.example"`, `"y.example"`, `["x.example"]`},
		"jti":            {`"0815"`, `"0815"`, `"a\nb"`},
		"nonce":          {`"n"`},
		"SUB":            {`"upper"`},
		"Iss":            {quoted(i.URL), `"https://issuer.example"`},
	}
	for name := range values {
		if name != "Iss" {
			values[name] = append(values[name], anything[len(name)%len(anything)], anything[(3*len(name)+1)%len(anything)])
		}
	}
	return values
}

// payload makes claims of which most are good, so that the few that are not decide.
func payload(r *rand.Rand, i *testIssuer, values map[string][]raw) []byte {
	now := time.Now().Unix()
	members := []string{
		fmt.Sprintf(`"iss":%q`, i.URL), `"aud":"edge"`, fmt.Sprintf(`"exp":%d`, now+3600), `"sub":"jane"`, `"email":"j@x.example"`,
		`"name":"Jane"`, `"hd":"x.example"`, `"groups":["dev"]`,
	}
	if r.IntN(8) == 0 {
		n := r.IntN(len(members))
		members = append(members[:n], members[n+1:]...) // one that is missing
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	for range r.IntN(4) { // some that come again, with another value: the last counts
		name := names[r.IntN(len(names))]
		of := values[name]
		members = append(members, fmt.Sprintf("%q:%s", name, of[r.IntN(len(of))]))
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// The same tokens, the same flags, the same outcome as kube-apiserver's. Not drawn from: _claim_names (TestGroupsOverage) and
// white space in a token (TestAlgConfusion), where we refuse more.
func TestSameAsAPIServer(t *testing.T) {
	const tokens = 60 // for each set of flags
	i := newTestIssuer(t, rsaKey(), ecKey())
	values := claimValues(i)
	forged, nameless := jose.JSONWebKey{Key: otherRSA().Key, KeyID: "rsa"}, jose.JSONWebKey{Key: rsaKey().Key}
	accepted, refused := 0, 0
	for name, cfg := range flagSets(i, t) {
		t.Run(name, func(t *testing.T) {
			a, oracle := start(t, cfg), apiServer(t, i, cfg)
			random := rand.New(rand.NewPCG(7, uint64(len(name))))
			for n := range tokens {
				claims := payload(random, i, values)
				var token string
				switch n % 12 {
				case 0:
					token = sign(t, ecKey(), claims)
				case 1:
					token = signWith(t, jose.PS256, rsaKey(), claims, nil)
				case 2:
					token = sign(t, nameless, claims)
				case 3:
					token = sign(t, forged, claims)
				case 4:
					token = sign(t, jose.JSONWebKey{Key: rsaKey().Key, KeyID: "unknown"}, claims)
				case 5:
					token = signWith(t, jose.RS256, nameless, claims, &jose.SignerOptions{EmbedJWK: true})
				case 6:
					token = odd(random, sign(t, rsaKey(), claims))
				default:
					key := rsaKey()
					if len(cfg.Flags.SigningAlgs) > 0 {
						key = ecKey()
					}
					token = sign(t, key, claims)
				}
				if compare(t, a, oracle, token) {
					accepted++
				} else {
					refused++
				}
			}
		})
	}
	if least := 100; accepted < least || refused < least {
		t.Errorf("%d accepted, %d refused: the generator tests one side only", accepted, refused)
	}
}

// odd damages a token.
func odd(r *rand.Rand, token string) string {
	parts := strings.Split(token, ".")
	switch r.IntN(6) {
	case 0:
		return parts[0] + "." + parts[1]
	case 1:
		return token + "."
	case 2:
		return parts[0] + "." + parts[1] + "."
	case 3:
		return token[:len(token)-1-r.IntN(20)]
	case 4:
		return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
	default:
		return unsigned(map[string]any{"alg": "none"}, map[string]any{"sub": "root"}, "")
	}
}

// FuzzClaims: any payload that the issuer signs has kube-apiserver's outcome.
func FuzzClaims(f *testing.F) {
	i := newTestIssuer(f, ecKey())
	cfg := Config{Flags: Flags{
		IssuerURL: i.URL, ClientID: "edge", CAFile: i.caFile(f), UsernameClaim: "email", GroupsClaim: "groups", GroupsPrefix: "g:",
		SigningAlgs: []string{"ES256"}, RequiredClaims: map[string]string{"hd": "x.example"},
	}}
	a, oracle := start(f, cfg), apiServer(f, i, cfg)
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

// distributed tells the tokens in which we differ on purpose.
func distributed(claims []byte) bool {
	var c map[string]json.RawMessage
	return json.Unmarshal(claims, &c) == nil && c["_claim_names"] != nil || bytes.Contains(bytes.ToLower(claims), []byte("_claim_"))
}
