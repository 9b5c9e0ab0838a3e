package authn

import (
	"context"
	"errors"
	"fmt"

	celgo "github.com/google/cel-go/cel"
	"k8s.io/apiserver/pkg/authentication/cel"
)

// checkRequiredClaims checks the rules that have a claim and its value.
func (t *verification) checkRequiredClaims(context.Context) error {
	if t.idToken == nil {
		return errSkipped
	}
	for _, rule := range t.issuer.spec.ClaimValidationRules {
		if rule.Claim == "" {
			continue
		}
		got, err := t.claims.text(rule.Claim)
		switch {
		case errors.Is(err, errClaimMissing):
			return refusedOpenly(ReasonClaims, fmt.Sprintf("required claim %q is missing", rule.Claim))
		case err != nil || got != rule.RequiredValue:
			return refusedOpenly(ReasonClaims, fmt.Sprintf("required claim %q has another value", rule.Claim))
		}
	}
	return nil
}

// checkClaimRules checks the rules that are expressions over claims.
func (t *verification) checkClaimRules(ctx context.Context) error {
	if t.idToken == nil {
		return errSkipped
	}
	if t.issuer.cel.ClaimValidationRules == nil {
		return nil
	}
	results, err := t.issuer.cel.ClaimValidationRules.EvalClaimMappings(ctx, t.celClaims)
	if err != nil {
		return t.notEvaluated(err, t.issuer.claimRules()...)
	}
	return refuseUnlessTrue(results, t.issuer.claimRules)
}

// checkUserRules checks the rules that are expressions over the user whom the claims make.
func (t *verification) checkUserRules(ctx context.Context) error {
	if t.idToken == nil {
		return errSkipped
	}
	if t.issuer.cel.UserValidationRules == nil {
		return nil
	}
	results, err := t.issuer.cel.UserValidationRules.EvalUser(ctx, userValue(&t.user))
	if err != nil {
		return t.notEvaluated(err, t.issuer.userRules()...)
	}
	return refuseUnlessTrue(results, t.issuer.userRules)
}

// refuseUnlessTrue takes the results of rules, in their order.
func refuseUnlessTrue(results []cel.EvaluationResult, rules func() []expression) error {
	for n, result := range results {
		if result.EvalResult.Type() != celgo.BoolType {
			return rules()[n].refuseRule("gives no boolean")
		}
		if !result.EvalResult.Value().(bool) {
			return rules()[n].refuseRule("does not hold")
		}
	}
	return nil
}
