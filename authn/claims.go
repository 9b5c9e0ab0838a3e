package authn

import (
	"encoding/json"
	"errors"
	"fmt"
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
			return "", refusedWithMessage(ReasonClaims, "email_verified is false", "email_verified is false: verify your email address with the issuer")
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

// refuseDistributed refuses a token that contains only a reference to its groups and not the groups
// (OpenID Connect Core 1.0, section 5.6.2). To fetch the groups, edge would have to follow a URL
// from a token. Without the groups, the user would have other rights than the issuer meant. A token
// with malformed _claim_names or without valid _claim_sources is refused, as in kube-apiserver.
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
			fmt.Sprintf("the token only refers to its %q claim instead of containing it (too many groups?); configure the issuer to send fewer groups", groupsClaim))
	}
	var sources map[string]struct {
		Endpoint    string `json:"endpoint"`
		AccessToken string `json:"access_token"`
		JWT         string `json:"JWT"`
	}
	if json.Unmarshal(c["_claim_sources"], &sources) != nil {
		return refusedOpenly(ReasonClaims, "the token has _claim_names, but no valid _claim_sources")
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
