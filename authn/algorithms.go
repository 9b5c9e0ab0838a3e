package authn

import (
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// signingAlgs are all algorithms that may sign a token, the same as in kube-apiserver. All of them
// are asymmetric.
var signingAlgs = []string{
	oidc.RS256, oidc.RS384, oidc.RS512,
	oidc.ES256, oidc.ES384, oidc.ES512,
	oidc.PS256, oidc.PS384, oidc.PS512,
}

// allSigningAlgs contains the same algorithms as signingAlgs, in the type that go-jose needs.
var allSigningAlgs = joseAlgs(signingAlgs)

func joseAlgs(names []string) []jose.SignatureAlgorithm {
	algs := make([]jose.SignatureAlgorithm, len(names))
	for i, name := range names {
		algs[i] = jose.SignatureAlgorithm(name)
	}
	return algs
}
