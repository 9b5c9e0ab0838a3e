package authn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	celgo "github.com/google/cel-go/cel"
	"k8s.io/apiserver/pkg/authentication/cel"
)

// checkRequiredClaims checks the rules that have a claim and its value.
func (t *trial) checkRequiredClaims(context.Context) error {
	if t.id == nil {
		return errSkipped
	}
	for _, rule := range t.issuer.spec.ClaimValidationRules {
		if rule.Claim == "" {
			continue
		}
		got, err := t.claims.text(rule.Claim)
		switch {
		case errors.Is(err, errClaimMissing):
			return refused(ReasonClaims, fmt.Sprintf("required claim %q is missing", rule.Claim))
		case err != nil || got != rule.RequiredValue:
			return refused(ReasonClaims, fmt.Sprintf("required claim %q has another value", rule.Claim))
		}
	}
	return nil
}

// checkClaimRules checks the rules that are expressions over claims.
func (t *trial) checkClaimRules(ctx context.Context) error {
	if t.id == nil {
		return errSkipped
	}
	if t.issuer.cel.ClaimValidationRules == nil {
		return nil
	}
	results, err := t.issuer.cel.ClaimValidationRules.EvalClaimMappings(ctx, t.values)
	if err != nil {
		return t.notEvaluated("claim validation rule", err, t.issuer.claimRuleExpressions())
	}
	return refuseUnlessTrue(results)
}

// checkUserRules checks the rules that are expressions over the user whom the claims make.
func (t *trial) checkUserRules(ctx context.Context) error {
	if t.id == nil {
		return errSkipped
	}
	if t.issuer.cel.UserValidationRules == nil {
		return nil
	}
	results, err := t.issuer.cel.UserValidationRules.EvalUser(ctx, userValue(&t.user))
	if err != nil {
		return t.notEvaluated("user validation rule", err, t.issuer.userRuleExpressions())
	}
	return refuseUnlessTrue(results)
}

func refuseUnlessTrue(results []cel.EvaluationResult) error {
	for _, result := range results {
		expression := result.ExpressionAccessor.GetExpression()
		if result.EvalResult.Type() != celgo.BoolType {
			return refused(ReasonClaims, fmt.Sprintf("validation rule %q gives no boolean", expression))
		}
		if result.EvalResult.Value().(bool) {
			continue
		}
		detail := fmt.Sprintf("validation rule %q does not hold", expression)
		if message := messageOf(result.ExpressionAccessor); message != "" {
			detail += ": " + message
		}
		return refused(ReasonClaims, detail)
	}
	return nil
}

// messageOf is what the operator wants said when a rule does not hold.
func messageOf(rule cel.ExpressionAccessor) string {
	switch rule := rule.(type) {
	case *cel.ClaimValidationCondition:
		return rule.Message
	case *cel.UserValidationCondition:
		return rule.Message
	}
	return ""
}

// notEvaluated refuses for an expression that ends with an error. The error may quote claims, so it is kept for Explain, and
// only the expression is named: that of expressions whose error it is.
func (t *trial) notEvaluated(what string, err error, expressions []string) error {
	t.cause = err
	for _, expression := range expressions {
		if strings.HasPrefix(err.Error(), "expression '"+expression+"' ") {
			return refused(ReasonClaims, fmt.Sprintf("%s expression %q cannot be evaluated with these claims", what, expression))
		}
	}
	return refused(ReasonClaims, what+" expression cannot be evaluated with these claims")
}

func (i *issuer) extraExpressions() (all []string) {
	for _, mapping := range i.spec.ClaimMappings.Extra {
		all = append(all, mapping.ValueExpression)
	}
	return all
}

func (i *issuer) claimRuleExpressions() (all []string) {
	for _, rule := range i.spec.ClaimValidationRules {
		all = append(all, rule.Expression)
	}
	return all
}

func (i *issuer) userRuleExpressions() (all []string) {
	for _, rule := range i.spec.UserValidationRules {
		all = append(all, rule.Expression)
	}
	return all
}
