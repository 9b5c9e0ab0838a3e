package authn

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// notBeforeLeeway is how far ahead nbf may be, for clocks that differ. kube-apiserver's; go-oidc's own is wider.
const notBeforeLeeway = time.Minute

// claims is a token's payload, one level deep. JSON null decodes into a zero value, as in kube-apiserver.
type claims map[string]json.RawMessage

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

// isInOtherCase tells whether a name is that of a claim, but for upper and lower case.
func isInOtherCase(name, claim string) bool { return name != claim && strings.EqualFold(name, claim) }

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

func (c claims) username(claim string) (string, error) {
	name, err := c.text(claim)
	if err != nil {
		return "", refusedOpenly(ReasonClaims, fmt.Sprintf("username claim %q %v", claim, err))
	}
	if raw, ok := c["email_verified"]; ok && claim == "email" {
		var verified bool
		if json.Unmarshal(raw, &verified) != nil {
			return "", refusedOpenly(ReasonClaims, "email_verified is not a boolean")
		}
		if !verified {
			return "", refusedWithMessage(ReasonClaims, "email_verified is false", "email_verified is false: have the issuer verify your address")
		}
	}
	return name, nil
}

func (c claims) groups(claim string) ([]string, error) {
	raw, ok := c[claim]
	if !ok {
		return nil, c.refuseDistributed(claim)
	}
	groups, err := stringOrList(raw)
	if err != nil {
		return nil, refusedOpenly(ReasonClaims, fmt.Sprintf("groups claim %q is neither a string nor a list of strings", claim))
	}
	return groups, nil
}

// refuseDistributed refuses a token whose groups are elsewhere (OpenID Connect Core 1.0, section 5.6.2): to fetch them is to
// follow a URL out of a token, to do without them is to give a user other rights than the issuer meant. A token that begins
// to say so and then says nothing is refused as kube-apiserver does.
func (c claims) refuseDistributed(groupsClaim string) error {
	raw, ok := c["_claim_names"]
	if !ok {
		return nil
	}
	var names map[string]string
	if json.Unmarshal(raw, &names) != nil {
		return refusedOpenly(ReasonClaims, "_claim_names is not an object of strings")
	}
	if _, ok := names[groupsClaim]; ok {
		return refusedOpenly(ReasonDistributedGroups,
			fmt.Sprintf("the token only refers to its %q (too many groups for it?); let the issuer send fewer", groupsClaim))
	}
	var sources map[string]struct {
		Endpoint    string `json:"endpoint"`
		AccessToken string `json:"access_token"`
		JWT         string `json:"JWT"`
	}
	if json.Unmarshal(c["_claim_sources"], &sources) != nil {
		return refusedOpenly(ReasonClaims, "_claim_names without good _claim_sources")
	}
	return nil
}

func stringOrList(raw json.RawMessage) ([]string, error) {
	var list []string
	if err := json.Unmarshal(raw, &list); err == nil {
		return list, nil
	}
	var one string
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, errors.New("neither a string nor a list of strings")
	}
	return []string{one}, nil
}
