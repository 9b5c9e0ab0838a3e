package authn

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// notBeforeLeeway is how far ahead nbf may be, for clocks that differ. kube-apiserver's; go-oidc's own is wider.
const notBeforeLeeway = time.Minute

// claims is a token's payload, one level deep. JSON null decodes into a zero value, as in kube-apiserver.
type claims map[string]json.RawMessage

var (
	errClaimMissing = errors.New("is missing")
	errClaimKind    = errors.New("is not a string")
)

// text returns a claim that is a string.
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

// envelope is what is read before a signature is checked, to tell whose token it is, and what go-oidc checks otherwise.
type envelope struct {
	Issuer    string       `json:"iss"`
	NotBefore *json.Number `json:"nbf"`
}

// envelope returns the claims that kube-apiserver and go-oidc read as members of a struct: in whatever case they are written,
// and the last one counts. Where that makes a difference, it is read from the payload like that.
func (c claims) envelope(payload []byte) (e envelope, err error) {
	for name := range c {
		if strings.EqualFold(name, "iss") && name != "iss" || strings.EqualFold(name, "nbf") && name != "nbf" {
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

// tooEarly must be asked only about a payload that go-oidc has decoded: nbf is then a number, whole or not.
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
