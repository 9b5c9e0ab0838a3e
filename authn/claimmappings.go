package authn

import (
	"context"
	"encoding/json"
	"errors"
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
