package authn

import (
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// signingAlgs are the algorithms that a token may be signed with at all: kube-apiserver's list, all of them asymmetric.
var signingAlgs = []string{
	oidc.RS256, oidc.RS384, oidc.RS512,
	oidc.ES256, oidc.ES384, oidc.ES512,
	oidc.PS256, oidc.PS384, oidc.PS512,
}

// allSigningAlgs are signingAlgs, as go-jose has them.
var allSigningAlgs = joseAlgs(signingAlgs)

func joseAlgs(names []string) []jose.SignatureAlgorithm {
	algs := make([]jose.SignatureAlgorithm, len(names))
	for i, name := range names {
		algs[i] = jose.SignatureAlgorithm(name)
	}
	return algs
}
