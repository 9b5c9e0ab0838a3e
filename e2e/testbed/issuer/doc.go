// Package issuer runs a real OpenID Connect provider, the npm package oidc-provider under Node, and
// makes the tokens that tests need.
//
//	issuer.go  the provider and its users
//	start.go   starts and stops the provider
//	login.go   logs a user in as a browser does, and refreshes tokens
//	keys.go    the provider's signing keys: each step of a rotation, and which keys are published
//	mint.go    tokens that the provider would not issue; jws.go signs them
//	issued.go  records each token for run.Leaks, which searches files for tokens
//
// The package does not use a cluster.
package issuer
