package authn

import (
	"fmt"
	"strings"
)

// expression is one of the configuration's.
type expression struct {
	what    string // in the log
	place   string // in the configuration, as its own errors name it: what the holder of a token reads
	text    string
	message string // what the operator wants said where a rule does not hold
}

func (i *issuer) usernameExpression() expression {
	return expression{what: "username", place: "claimMappings.username", text: i.spec.ClaimMappings.Username.Expression}
}

func (i *issuer) groupsExpression() expression {
	return expression{what: "groups", place: "claimMappings.groups", text: i.spec.ClaimMappings.Groups.Expression}
}

func (i *issuer) uidExpression() expression {
	return expression{what: "uid", place: "claimMappings.uid", text: i.spec.ClaimMappings.UID.Expression}
}

func (i *issuer) extraExpressions() (all []expression) {
	for n, mapping := range i.spec.ClaimMappings.Extra {
		all = append(all, expression{what: "extra", place: fmt.Sprintf("claimMappings.extra[%d]", n), text: mapping.ValueExpression})
	}
	return all
}

// claimRules are the rules over claims, without those that have a claim and its value.
func (i *issuer) claimRules() (all []expression) {
	for n, rule := range i.spec.ClaimValidationRules {
		if rule.Expression != "" {
			all = append(all, expression{"claim validation rule", fmt.Sprintf("claimValidationRules[%d]", n), rule.Expression, rule.Message})
		}
	}
	return all
}

func (i *issuer) userRules() (all []expression) {
	for n, rule := range i.spec.UserValidationRules {
		all = append(all, expression{"user validation rule", fmt.Sprintf("userValidationRules[%d]", n), rule.Expression, rule.Message})
	}
	return all
}

// refuseResult refuses for what an expression makes of the claims. The value itself is not told.
func (e expression) refuseResult(what string) error {
	return refusedWithMessage(ReasonClaims, fmt.Sprintf("%s expression %q gives %s", e.what, e.text, what), e.place+" gives "+what)
}

// refuseRule refuses for a rule that gives anything but true.
func (e expression) refuseRule(fault string) error {
	detail := fmt.Sprintf("validation rule %q %s", e.text, fault)
	if e.message != "" {
		detail += ": " + e.message
	}
	return refusedWithMessage(ReasonClaims, detail, e.clientMessage(fault))
}

// clientMessage is for the holder of a token.
func (e expression) clientMessage(fault string) string {
	words := e.place + " " + fault
	if e.message != "" {
		words += ": " + oneLine(e.message, maxClientMessageBytes)
	}
	return words
}

// notEvaluated refuses for one of some expressions, which ended with an error. The error may quote claims, so it is kept for
// Explain alone, and only the expression whose error it is is named.
func (v *verification) notEvaluated(err error, of ...expression) error {
	v.cause = err
	const fault = "cannot be evaluated with these claims"
	for _, e := range of {
		if strings.HasPrefix(err.Error(), "expression '"+e.text+"' ") {
			return refusedWithMessage(ReasonClaims, fmt.Sprintf("%s expression %q %s", e.what, e.text, fault), e.clientMessage(fault))
		}
	}
	return refusedOpenly(ReasonClaims, of[0].what+" expression "+fault)
}
