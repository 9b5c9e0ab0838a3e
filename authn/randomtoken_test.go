package authn

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// raw is JSON text, exactly as a token contains it.
type raw string

// claimValues returns the values for each claim of a random token: good and bad ones, of the right
// type and of other types.
func claimValues(issuer string) map[string][]raw {
	now := time.Now().Unix()
	at := func(offset int64) raw { return raw(fmt.Sprint(now + offset)) }
	anything := []raw{`""`, `null`, `7`, `true`, `[]`, `{}`, `["a"]`, `"a"`, `1e400`, `[null]`}
	quoted := func(s string) raw { return raw(fmt.Sprintf("%q", s)) }
	values := map[string][]raw{
		"iss":            {quoted(issuer), quoted(issuer), quoted(issuer), quoted(issuer + "/"), `"https://issuer.example"`, `"accounts.google.com"`},
		"aud":            {`"edge"`, `"edge"`, `["edge"]`, `["other","edge"]`, `"other"`, `["other"]`, `["third","x"]`, `["edge",7]`},
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
		"uid":            {`"u-1"`, `"u-1"`, `""`, `7`},
		"tenant":         {`"acme"`, `"acme"`, `"Evil Corp"`, `["acme","beta"]`},
		"num":            {`5`, `5`, `5.5`, `-1`, `"5"`, `18446744073709551616`},
		"flag":           {`true`, `false`, `"true"`},
		"dotted.key":     {`"d"`, `["d","e"]`},
		"nested":         {`{"id":"n2"}`, `{"id":7,"list":[],"ok":false}`, `{"id":"","a.b":["c",""],"objects":[{"name":7}]}`, `[{"id":"n"}]`},
		"blocked":        {`true`, `false`, `""`},
		// Use only values without a reference to groups, which edge deliberately treats
		// differently: see TestGroupsOverage.
		"_claim_names":   {`{}`, `null`, `7`},
		"_claim_sources": {`{}`, `null`, `{"src":{"endpoint":7}}`, `[]`},
		"Iss":            {quoted(issuer), `"https://issuer.example"`},
	}
	for name := range values {
		if name != "Iss" {
			values[name] = append(values[name], anything[len(name)%len(anything)], anything[(3*len(name)+1)%len(anything)])
		}
	}
	return values
}

// payload returns the claims of a random token. Most values are good, so that the few bad ones
// decide whether the token is accepted.
func payload(r *rand.Rand, issuer, audience string, values map[string][]raw) []byte {
	now := time.Now().Unix()
	members := []string{
		fmt.Sprintf(`"iss":%q`, issuer), fmt.Sprintf(`"aud":%q`, audience), fmt.Sprintf(`"exp":%d`, now+3600), `"sub":"jane"`, `"email":"j@x.example"`,
		`"name":"Jane"`, `"hd":"x.example"`, `"groups":["dev","ops"]`, fmt.Sprintf(`"iat":%d`, now), `"email_verified":true`, `"uid":"u-1"`,
		`"tenant":"acme"`, `"num":5`, `"flag":true`, `"roles":"dev,ops"`, `"dotted.key":"d"`,
		`"nested":{"id":"n1","a.b":"dot","list":["x","","y"],"ok":true,"objects":[{"name":"o1","na.me":"o.1"},{"name":"o2","na.me":""}]}`,
	}
	if r.IntN(6) == 0 {
		n := r.IntN(len(members))
		members = append(members[:n], members[n+1:]...) // remove one claim
	}
	names := slices.Sorted(maps.Keys(values))
	for range max(0, r.IntN(5)-2) { // repeat some claims with another value: the last value counts
		name := names[r.IntN(len(names))]
		of := values[name]
		members = append(members, fmt.Sprintf("%q:%s", name, of[r.IntN(len(of))]))
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// generateToken returns a random token of one of the configured issuers. Most tokens are signed
// with that issuer's keys, some with another key.
func generateToken(t testing.TB, r *rand.Rand, c *configCase) string {
	entry := c.entries[r.IntN(len(c.entries))]
	other := c.entries[r.IntN(len(c.entries))]
	audiences := append([]string{"edge"}, entry.spec.Issuer.Audiences...)
	claims := payload(r, entry.spec.Issuer.URL, audiences[r.IntN(len(audiences))], claimValues(entry.spec.Issuer.URL))
	key := entry.keys[slices.IndexFunc(entry.keys, func(k jose.JSONWebKey) bool { return (k.KeyID == "rsa") == c.rsa })]
	nameless := jose.JSONWebKey{Key: key.Key}
	switch r.IntN(24) {
	case 0:
		return signWith(t, jose.PS256, entry.keys[0], claims, nil)
	case 1:
		return sign(t, nameless, claims)
	case 2:
		return sign(t, jose.JSONWebKey{Key: rsaKeys()[2].Key, KeyID: "rsa"}, claims) // forged: the key has the right ID, but is not the issuer's key
	case 3:
		return sign(t, jose.JSONWebKey{Key: key.Key, KeyID: "unknown"}, claims)
	case 4:
		return signWith(t, jose.ES256, jose.JSONWebKey{Key: ecKey().Key}, claims, &jose.SignerOptions{EmbedJWK: true})
	case 5:
		return odd(r, sign(t, key, claims))
	case 6:
		return sign(t, other.keys[1], claims) // other is a random issuer, so the key often belongs to another issuer than iss names
	case 7:
		return sign(t, entry.keys[0], claims)
	default:
		return sign(t, key, claims)
	}
}

// odd returns a token with random damage, such as a missing part.
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
