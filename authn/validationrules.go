package authn

import (
	"context"
	"errors"
	"fmt"

	celgo "github.com/google/cel-go/cel"
	"k8s.io/apiserver/pkg/authentication/cel"
)

// checkRequiredClaims checks the claimValidationRules without an expression, which require a claim
// to have a certain value.
func (v *verification) checkRequiredClaims(context.Context) error {
	if v.idToken == nil {
		return errSkipped
	}
	for _, rule := range v.issuer.spec.ClaimValidationRules {
		if rule.Claim == "" {
			continue
		}
		got, err := v.claims.text(rule.Claim)
		switch {
		case errors.Is(err, errClaimMissing):
			return refusedOpenly(ReasonClaims, fmt.Sprintf("required claim %q is missing", rule.Claim))
		case err != nil || got != rule.RequiredValue:
			return refusedOpenly(ReasonClaims, fmt.Sprintf("required claim %q has another value", rule.Claim))
		}
	}
	return nil
}

// checkClaimRules checks the claimValidationRules that are CEL expressions over the claims.
func (v *verification) checkClaimRules(ctx context.Context) error {
	if v.idToken == nil {
		return errSkipped
	}
	if v.issuer.cel.ClaimValidationRules == nil {
		return nil
	}
	results, err := v.issuer.cel.ClaimValidationRules.EvalClaimMappings(ctx, v.celClaims)
	if err != nil {
		return v.notEvaluated(err, v.issuer.claimRules()...)
	}
	return refuseUnlessTrue(results, v.issuer.claimRules)
}

// checkUserRules checks the userValidationRules, which are CEL expressions over the user that the
// claims make.
func (v *verification) checkUserRules(ctx context.Context) error {
	if v.idToken == nil {
		return errSkipped
	}
	if v.issuer.cel.UserValidationRules == nil {
		return nil
	}
	results, err := v.issuer.cel.UserValidationRules.EvalUser(ctx, userValue(&v.user))
	if err != nil {
		return v.notEvaluated(err, v.issuer.userRules()...)
	}
	return refuseUnlessTrue(results, v.issuer.userRules)
}

// refuseUnlessTrue refuses the token if the result of any rule is not true, and names the first
// such rule. results and rules have the same order.
func refuseUnlessTrue(results []cel.EvaluationResult, rules func() []expression) error {
	for n, result := range results {
		if result.EvalResult.Type() != celgo.BoolType {
			return rules()[n].refuseRule("does not return a boolean")
		}
		if !result.EvalResult.Value().(bool) {
			return rules()[n].refuseRule("is not satisfied")
		}
	}
	return nil
}
