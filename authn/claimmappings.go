package authn

import (
	"context"
	"fmt"

	celgo "github.com/google/cel-go/cel"
	"k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/pkg/authentication/token/jwt"
	"k8s.io/apiserver/pkg/authentication/user"
)

func (v *verification) checkUsername(ctx context.Context) (err error) {
	if v.idToken == nil {
		return errSkipped
	}
	mapping := v.issuer.spec.ClaimMappings.Username
	if v.issuer.cel.Username == nil {
		v.user.Name, err = v.claims.username(mapping.Claim)
		if err == nil && mapping.Prefix != nil {
			v.user.Name = *mapping.Prefix + v.user.Name
		}
		return err
	}
	v.user.Name, err = v.evaluateString(ctx, v.issuer.cel.Username, v.issuer.usernameExpression())
	if err == nil && v.user.Name == "" {
		return v.issuer.usernameExpression().refuseResult("an empty string")
	}
	return err
}

func (v *verification) checkGroups(ctx context.Context) (err error) {
	if v.idToken == nil {
		return errSkipped
	}
	mapping := v.issuer.spec.ClaimMappings.Groups
	switch {
	case mapping.Claim != "":
		v.user.Groups, err = v.claims.groups(mapping.Claim)
		if prefix := mapping.Prefix; prefix != nil && *prefix != "" {
			for i, group := range v.user.Groups {
				v.user.Groups[i] = *prefix + group
			}
		}
	case v.issuer.cel.Groups != nil:
		v.user.Groups, err = v.evaluateList(ctx, v.issuer.cel.Groups, v.issuer.groupsExpression())
	}
	return err
}

func (v *verification) checkUID(ctx context.Context) (err error) {
	if v.idToken == nil {
		return errSkipped
	}
	mapping := v.issuer.spec.ClaimMappings.UID
	switch {
	case mapping.Claim != "":
		if v.user.UID, err = v.claims.text(mapping.Claim); err != nil {
			return refusedOpenly(ReasonClaims, fmt.Sprintf("uid claim %q %v", mapping.Claim, err))
		}
	case v.issuer.cel.UID != nil:
		v.user.UID, err = v.evaluateString(ctx, v.issuer.cel.UID, v.issuer.uidExpression())
	}
	return err
}

// checkExtra computes the user's extra values. The first value is the token's jti (its ID), for the
// audit log. A jti that is not a string is ignored.
func (v *verification) checkExtra(ctx context.Context) error {
	if v.idToken == nil {
		return errSkipped
	}
	extra := make(map[string][]string)
	if jti, err := v.claims.text("jti"); err == nil && jti != "" {
		extra[user.CredentialIDKey] = []string{jwt.CredentialIDForJTI(jti)}
	}
	if v.issuer.cel.Extra != nil {
		results, err := v.issuer.cel.Extra.EvalClaimMappings(ctx, v.celClaims)
		if err != nil {
			return v.notEvaluated(err, v.issuer.extraExpressions()...)
		}
		for n, result := range results {
			mapping, ok := result.ExpressionAccessor.(*cel.ExtraMappingExpression)
			if !ok {
				return refused(ReasonClaims, "an extra mapping has an unexpected type")
			}
			values, err := stringList(result.EvalResult)
			if err != nil {
				return v.issuer.extraExpressions()[n].refuseResult(errNotStrings.Error())
			}
			if len(values) > 0 {
				extra[mapping.Key] = values
			}
		}
	}
	if len(extra) > 0 {
		v.user.Extra = extra
	}
	return nil
}

func (v *verification) evaluateString(ctx context.Context, mapper cel.ClaimsMapper, e expression) (string, error) {
	result, err := mapper.EvalClaimMapping(ctx, v.celClaims)
	if err != nil {
		return "", v.notEvaluated(err, e)
	}
	if result.EvalResult.Type() != celgo.StringType {
		return "", e.refuseResult("a value that is not a string")
	}
	return result.EvalResult.Value().(string), nil
}

func (v *verification) evaluateList(ctx context.Context, mapper cel.ClaimsMapper, e expression) ([]string, error) {
	result, err := mapper.EvalClaimMapping(ctx, v.celClaims)
	if err != nil {
		return nil, v.notEvaluated(err, e)
	}
	list, err := stringList(result.EvalResult)
	if err != nil {
		return nil, e.refuseResult(err.Error())
	}
	return list, nil
}
