package authn

import (
	"fmt"
	"strings"
)

// expression is a CEL expression of the configuration, together with the names that errors use for
// it.
type expression struct {
	what    string // the expression's name in the log
	place   string // the expression's path in the configuration, as in validation errors; the client receives it
	text    string
	message string // the operator's message that the client receives if the rule is not satisfied
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

// claimRules returns the claimValidationRules that are CEL expressions. A claimValidationRule
// without an expression requires a claim to have a certain value.
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

// refuseResult refuses a token because of the value of an expression. The error does not contain
// the value.
func (e expression) refuseResult(what string) error {
	return refusedWithMessage(ReasonClaims, fmt.Sprintf("%s expression %q returns %s", e.what, e.text, what), e.place+" returns "+what)
}

// refuseRule refuses a token because the expression of a validation rule did not evaluate to true.
func (e expression) refuseRule(fault string) error {
	detail := fmt.Sprintf("validation rule %q %s", e.text, fault)
	if e.message != "" {
		detail += ": " + e.message
	}
	return refusedWithMessage(ReasonClaims, detail, e.clientMessage(fault))
}

// clientMessage returns the text about a refusal by this expression that the client receives.
func (e expression) clientMessage(fault string) string {
	words := e.place + " " + fault
	if e.message != "" {
		words += ": " + oneLine(e.message, maxClientMessageBytes)
	}
	return words
}

// notEvaluated refuses a token because the evaluation of one of several expressions failed with
// err. err may quote claims, so notEvaluated keeps it only for Explain. The refusal names an
// expression only if err is about that expression.
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
