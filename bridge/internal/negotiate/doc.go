// Package negotiate says what each side of a stream speaks.
//
//	target.go       which pod and verb a path means
//	upgrade.go      which requests are upgrades that edge serves
//	dialect.go      the negotiation table: what the client speaks, and the 101 that it gets
//	offer.go        what edge offers to the API server
//	upstream101.go  what the API server's 101 must say
//	header.go       reading the headers of both
//	hijack.go       a client's connection, after its 101
//	errors.go       a 101 of the API server's that cannot be
//
// It decides nothing about rights.
package negotiate
