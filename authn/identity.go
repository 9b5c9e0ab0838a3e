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

func (t *verification) checkUsername(ctx context.Context) (err error) {
	if t.idToken == nil {
		return errSkipped
	}
	mapping := t.issuer.spec.ClaimMappings.Username
	if t.issuer.cel.Username == nil {
		t.user.Name, err = t.claims.username(mapping.Claim)
		if err == nil && mapping.Prefix != nil {
			t.user.Name = *mapping.Prefix + t.user.Name
		}
		return err
	}
	t.user.Name, err = t.evaluateString(ctx, t.issuer.cel.Username, t.issuer.usernameExpression())
	if err == nil && t.user.Name == "" {
		return t.issuer.usernameExpression().refuseResult("no name")
	}
	return err
}

func (t *verification) checkGroups(ctx context.Context) (err error) {
	if t.idToken == nil {
		return errSkipped
	}
	mapping := t.issuer.spec.ClaimMappings.Groups
	switch {
	case mapping.Claim != "":
		t.user.Groups, err = t.claims.groups(mapping.Claim)
		if prefix := mapping.Prefix; prefix != nil && *prefix != "" {
			for i, group := range t.user.Groups {
				t.user.Groups[i] = *prefix + group
			}
		}
	case t.issuer.cel.Groups != nil:
		t.user.Groups, err = t.evaluateList(ctx, t.issuer.cel.Groups, t.issuer.groupsExpression())
	}
	return err
}

func (t *verification) checkUID(ctx context.Context) (err error) {
	if t.idToken == nil {
		return errSkipped
	}
	mapping := t.issuer.spec.ClaimMappings.UID
	switch {
	case mapping.Claim != "":
		if t.user.UID, err = t.claims.text(mapping.Claim); err != nil {
			return refusedOpenly(ReasonClaims, fmt.Sprintf("uid claim %q %v", mapping.Claim, err))
		}
	case t.issuer.cel.UID != nil:
		t.user.UID, err = t.evaluateString(ctx, t.issuer.cel.UID, t.issuer.uidExpression())
	}
	return err
}

// checkExtra starts with the token's jti, for the audit log. A jti of another kind is passed over.
func (t *verification) checkExtra(ctx context.Context) error {
	if t.idToken == nil {
		return errSkipped
	}
	extra := make(map[string][]string)
	if jti, err := t.claims.text("jti"); err == nil && jti != "" {
		extra[user.CredentialIDKey] = []string{jwt.CredentialIDForJTI(jti)}
	}
	if t.issuer.cel.Extra != nil {
		results, err := t.issuer.cel.Extra.EvalClaimMappings(ctx, t.celClaims)
		if err != nil {
			return t.notEvaluated(err, t.issuer.extraExpressions()...)
		}
		for n, result := range results {
			mapping, ok := result.ExpressionAccessor.(*cel.ExtraMappingExpression)
			if !ok {
				return refused(ReasonClaims, "an extra mapping is none")
			}
			values, err := stringList(result.EvalResult)
			if err != nil {
				return t.issuer.extraExpressions()[n].refuseResult(errNotStrings.Error())
			}
			if len(values) > 0 {
				extra[mapping.Key] = values
			}
		}
	}
	if len(extra) > 0 {
		t.user.Extra = extra
	}
	return nil
}

func (t *verification) evaluateString(ctx context.Context, mapper cel.ClaimsMapper, e expression) (string, error) {
	result, err := mapper.EvalClaimMapping(ctx, t.celClaims)
	if err != nil {
		return "", t.notEvaluated(err, e)
	}
	if result.EvalResult.Type() != celgo.StringType {
		return "", e.refuseResult("no string")
	}
	return result.EvalResult.Value().(string), nil
}

func (t *verification) evaluateList(ctx context.Context, mapper cel.ClaimsMapper, e expression) ([]string, error) {
	result, err := mapper.EvalClaimMapping(ctx, t.celClaims)
	if err != nil {
		return nil, t.notEvaluated(err, e)
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
			return "", refusedWithMessage(ReasonClaims, "email_verified is false", "email_verified is false: have the issuer verify your address")
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

// refuseDistributed refuses a token whose groups are elsewhere (OpenID Connect Core 1.0, section 5.6.2): to fetch them is to
// follow a URL out of a token, to do without them is to give a user other rights than the issuer meant. A token that begins
// to say so and then says nothing is refused as kube-apiserver does.
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
			fmt.Sprintf("the token only refers to its %q (too many groups for it?); let the issuer send fewer", groupsClaim))
	}
	var sources map[string]struct {
		Endpoint    string `json:"endpoint"`
		AccessToken string `json:"access_token"`
		JWT         string `json:"JWT"`
	}
	if json.Unmarshal(c["_claim_sources"], &sources) != nil {
		return refusedOpenly(ReasonClaims, "_claim_names without good _claim_sources")
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
