package authn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// describe returns what a check examined, after the check has run, for example the claim's value.
// Explain prints it, so that its reader sees what is wrong with the token.
func (v *verification) describe(check string) string {
	switch check {
	case "form":
		return fmt.Sprintf("%d bytes", len(v.token))
	case "algorithm":
		if v.jws.header != nil {
			header := v.jws.header.Header
			return fmt.Sprintf("alg %s, kid %s; allowed are %s", quote(header.Algorithm), quote(header.KeyID), strings.Join(v.rules.verifier.SupportedSigningAlgs, ", "))
		}
	case "issuer":
		return "iss " + quote(v.envelope.Issuer)
	case "signature":
		return v.describeKeys()
	case "expiry":
		if v.idToken != nil && !v.idToken.Expiry.IsZero() {
			return "exp " + v.moment(v.idToken.Expiry)
		}
	case "audience":
		if v.idToken != nil {
			return fmt.Sprintf("aud %s; accepted are %s", quoteAll(v.idToken.Audience), quoteAll(v.issuer.spec.Issuer.Audiences))
		}
	case "not before":
		if v.envelope.NotBefore != nil {
			if seconds, err := v.envelope.NotBefore.Int64(); err == nil {
				return "nbf " + v.moment(time.Unix(seconds, 0))
			}
			return "nbf " + quote(v.envelope.NotBefore.String())
		}
	}
	if v.idToken == nil {
		return ""
	}
	return join(v.describeIdentity(check), v.takeCause())
}

func (v *verification) describeKeys() string {
	if v.keys == nil || v.jws.header == nil {
		return ""
	}
	id, named := v.jws.header.Header.KeyID, 0
	keys := v.ring.current.Load().keys
	for _, key := range keys {
		if key.KeyID == id {
			named++
		}
	}
	return fmt.Sprintf("keys available: %d; with the token's kid: %d", len(keys), named)
}

func (v *verification) describeIdentity(check string) string {
	switch check {
	case "username":
		if v.user.Name != "" {
			return quote(v.user.Name)
		}
	case "groups":
		return quoteAll(v.user.Groups)
	case "uid":
		if v.user.UID != "" {
			return quote(v.user.UID)
		}
	case "extra":
		var all []string
		for _, key := range slices.Sorted(maps.Keys(v.user.Extra)) {
			all = append(all, key+"="+quoteAll(v.user.Extra[key]))
		}
		return strings.Join(all, ", ")
	case "required claims":
		return fmt.Sprintf("claims: %d", len(v.issuer.spec.ClaimValidationRules)-len(v.issuer.claimRules()))
	case "claim rules":
		return fmt.Sprintf("expressions: %d", len(v.issuer.claimRules()))
	case "user rules":
		return fmt.Sprintf("expressions: %d", len(v.issuer.spec.UserValidationRules))
	}
	return ""
}

// takeCause returns the text of v.cause, the error of a CEL expression that could not be evaluated.
// It then clears v.cause, so that only one step of an explanation reports the error.
func (v *verification) takeCause() string {
	if v.cause == nil {
		return ""
	}
	text := oneLine(v.cause.Error(), 2*maxQuotedBytes)
	v.cause = nil
	return text
}

// moment formats a time, followed by how far it is from now.
func (v *verification) moment(at time.Time) string {
	text := at.UTC().Format(time.RFC3339)
	if left := at.Sub(v.now); left >= 0 {
		return text + ", in " + duration.HumanDuration(left)
	}
	return text + ", " + duration.HumanDuration(v.now.Sub(at)) + " ago"
}

// join joins two remarks about a check with a semicolon. Either of them may be empty.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
