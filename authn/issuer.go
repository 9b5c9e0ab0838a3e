package authn

import (
	"slices"
	"sync"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/cel"
)

// issuer is one issuer of the configuration: how its tokens are verified and what user they make.
// An issuer value never changes.
type issuer struct {
	spec   apiserver.JWTAuthenticator
	cel    cel.CELMapper // the expressions in the field spec, compiled
	source *keySource
}

// compiler compiles the CEL expressions. All issuers share it, because its CEL environment takes
// half a megabyte.
var compiler = sync.OnceValue(cel.NewDefaultCompiler)

func newIssuer(spec apiserver.JWTAuthenticator) (*issuer, error) {
	mapper, errs := validation.CompileAndValidateJWTAuthenticator(compiler(), spec, nil)
	if err := errs.ToAggregate(); err != nil {
		return nil, err
	}
	return &issuer{spec: spec, cel: mapper}, nil
}

// accepts reports whether audiences, from a token's aud, contain one of the issuer's audiences.
// This is the match policy MatchAny, the only one that the API has.
func (i *issuer) accepts(audiences []string) bool {
	return slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(i.spec.Issuer.Audiences, a) })
}

// usesCEL reports whether an expression of this issuer reads claims. Only then must claims be
// converted to CEL values.
func (i *issuer) usesCEL() bool {
	c := &i.cel
	return c.Username != nil || c.Groups != nil || c.UID != nil || c.Extra != nil || c.ClaimValidationRules != nil
}
