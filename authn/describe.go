package authn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

const (
	// maxQuotedBytes bounds what an explanation quotes of one claim.
	maxQuotedBytes = 200
	// maxListed bounds how many of a list's elements it quotes.
	maxListed = 20
)

// about says, after a check has run, what it looked at, so that a reader can see what is wrong.
func (t *verification) describe(check string) string {
	switch check {
	case "form":
		return fmt.Sprintf("%d bytes", len(t.token))
	case "algorithm":
		if t.jws.header != nil {
			header := t.jws.header.Header
			return fmt.Sprintf("alg %s, kid %s; allowed are %s", quote(header.Algorithm), quote(header.KeyID), strings.Join(t.rules.verifier.SupportedSigningAlgs, ", "))
		}
	case "issuer":
		return "iss " + quote(t.envelope.Issuer)
	case "signature":
		return t.describeKeys()
	case "expiry":
		if t.idToken != nil && !t.idToken.Expiry.IsZero() {
			return "exp " + t.moment(t.idToken.Expiry)
		}
	case "audience":
		if t.idToken != nil {
			return fmt.Sprintf("aud %s; accepted are %s", quoteAll(t.idToken.Audience), quoteAll(t.issuer.spec.Issuer.Audiences))
		}
	case "not before":
		if t.envelope.NotBefore != nil {
			if seconds, err := t.envelope.NotBefore.Int64(); err == nil {
				return "nbf " + t.moment(time.Unix(seconds, 0))
			}
			return "nbf " + quote(t.envelope.NotBefore.String())
		}
	}
	if t.idToken == nil {
		return ""
	}
	return join(t.describeIdentity(check), t.takeCause())
}

func (t *verification) describeKeys() string {
	if t.keys == nil || t.jws.header == nil {
		return ""
	}
	id, named := t.jws.header.Header.KeyID, 0
	keys := t.ring.current.Load().keys
	for _, key := range keys {
		if key.KeyID == id {
			named++
		}
	}
	return fmt.Sprintf("keys in hand: %d; with the token's kid: %d", len(keys), named)
}

func (t *verification) describeIdentity(check string) string {
	switch check {
	case "username":
		if t.user.Name != "" {
			return quote(t.user.Name)
		}
	case "groups":
		return quoteAll(t.user.Groups)
	case "uid":
		if t.user.UID != "" {
			return quote(t.user.UID)
		}
	case "extra":
		var all []string
		for _, key := range slices.Sorted(maps.Keys(t.user.Extra)) {
			all = append(all, key+"="+quoteAll(t.user.Extra[key]))
		}
		return strings.Join(all, ", ")
	case "required claims":
		return fmt.Sprintf("claims: %d", len(t.issuer.spec.ClaimValidationRules)-len(t.issuer.claimRules()))
	case "claim rules":
		return fmt.Sprintf("expressions: %d", len(t.issuer.claimRules()))
	case "user rules":
		return fmt.Sprintf("expressions: %d", len(t.issuer.spec.UserValidationRules))
	}
	return ""
}

// takeCause returns once what a library said about the claim that was refused last.
func (t *verification) takeCause() string {
	if t.cause == nil {
		return ""
	}
	text := oneLine(t.cause.Error(), 2*maxQuotedBytes)
	t.cause = nil
	return text
}

// moment says a time in words.
func (t *verification) moment(at time.Time) string {
	text := at.UTC().Format(time.RFC3339)
	if left := at.Sub(t.now); left >= 0 {
		return text + ", in " + duration.HumanDuration(left)
	}
	return text + ", " + duration.HumanDuration(t.now.Sub(at)) + " ago"
}

func quote(s string) string {
	if len(s) > maxQuotedBytes {
		return fmt.Sprintf("%q...", s[:maxQuotedBytes])
	}
	return fmt.Sprintf("%q", s)
}

func quoteAll(list []string) string {
	var all []string
	for _, s := range list[:min(len(list), maxListed)] {
		all = append(all, quote(s))
	}
	if more := len(list) - maxListed; more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
