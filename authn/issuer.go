package authn

import (
	"slices"
	"sync"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/cel"
)

// issuer is one entry of the configuration: whose tokens, what they must say, what a user is called. It never changes.
type issuer struct {
	spec   apiserver.JWTAuthenticator
	cel    cel.CELMapper // spec's expressions
	source *keySource
}

// compiler is shared by all expressions: the CEL environment is half a megabyte.
var compiler = sync.OnceValue(cel.NewDefaultCompiler)

func newIssuer(spec apiserver.JWTAuthenticator) (*issuer, error) {
	mapper, errs := validation.CompileAndValidateJWTAuthenticator(compiler(), spec, nil)
	if err := errs.ToAggregate(); err != nil {
		return nil, err
	}
	return &issuer{spec: spec, cel: mapper}, nil
}

// accepts is match policy MatchAny, the only one that there is.
func (i *issuer) accepts(audiences []string) bool {
	return slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(i.spec.Issuer.Audiences, a) })
}

// usesCEL reports whether claims must be made into CEL values.
func (i *issuer) usesCEL() bool {
	c := &i.cel
	return c.Username != nil || c.Groups != nil || c.UID != nil || c.Extra != nil || c.ClaimValidationRules != nil
}
