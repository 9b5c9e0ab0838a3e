package authn

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// notBeforeLeeway is how far in the future a token's nbf ("not before") may be, because clocks
// differ. kube-apiserver uses the same minute. go-oidc itself allows 5 minutes.
const notBeforeLeeway = time.Minute

// claims is a token's payload, decoded one level deep: the value of each claim is still JSON. JSON
// null decodes to a zero value, as in kube-apiserver.
type claims map[string]json.RawMessage

// text returns the value of a claim that must be a string.
func (c claims) text(name string) (string, error) {
	raw, ok := c[name]
	if !ok {
		return "", errClaimMissing
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "", errClaimKind
	}
	return s, nil
}

// envelope contains the two claims that edge reads before it checks the signature: iss, which
// selects the issuer, and nbf, for which go-oidc allows 5 minutes of clock difference instead of
// one.
type envelope struct {
	Issuer    string       `json:"iss"`
	NotBefore *json.Number `json:"nbf"`
}

// envelope returns the claims iss and nbf as kube-apiserver and go-oidc read them. Both decode the
// payload into a struct: encoding/json then ignores the case of names, and the last of several
// equal names counts. If the payload contains iss or nbf in another case, such as "ISS", envelope
// decodes the payload into a struct too.
func (c claims) envelope(payload []byte) (e envelope, err error) {
	for name := range c {
		if isInOtherCase(name, "iss") || isInOtherCase(name, "nbf") {
			return e, json.Unmarshal(payload, &e)
		}
	}
	if raw, ok := c["iss"]; ok {
		err = json.Unmarshal(raw, &e.Issuer)
	}
	if raw, ok := c["nbf"]; ok && err == nil {
		err = json.Unmarshal(raw, &e.NotBefore)
	}
	return e, err
}

// isInOtherCase reports whether name differs from claim only in upper and lower case.
func isInOtherCase(name, claim string) bool { return name != claim && strings.EqualFold(name, claim) }

// tooEarly reports whether the claim nbf is more than notBeforeLeeway later than now. nbf may have
// a fraction. If nbf is a number that float64 cannot hold, the token is too early; go-oidc refuses
// such a payload.
func (e envelope) tooEarly(now time.Time) bool {
	if e.NotBefore == nil {
		return false
	}
	seconds, err := strconv.ParseInt(e.NotBefore.String(), 10, 64)
	if err != nil {
		f, err := e.NotBefore.Float64()
		if err != nil {
			return true
		}
		seconds = int64(f)
	}
	return now.Add(notBeforeLeeway).Before(time.Unix(seconds, 0))
}
