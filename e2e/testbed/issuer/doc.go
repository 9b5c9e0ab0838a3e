// Package issuer runs a real OpenID Connect provider, oidc-provider under Node, and has what a test needs of one.
//
//	issuer.go  the provider and its users; start.go: how it is started and stopped
//	login.go   a user logs in, as by a browser, and refreshes
//	keys.go    its signing keys: a rotation, step by step, and what is published
//	mint.go    tokens that the provider would not issue: other claims, other headers, other keys; jws.go signs them
//	issued.go  notes each token, so that none is found where it should not be
//
// It knows no cluster.
package issuer
