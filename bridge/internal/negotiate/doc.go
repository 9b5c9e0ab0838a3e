// Package negotiate determines which protocol each side of a stream uses: the client's dialect, and
// edge's offer to the API server.
//
// It makes no authorization decisions.
//
//	target.go       the pod and verb that a path stands for
//	upgrade.go      which requests edge handles as upgrades
//	dialect.go      the client's dialect, chosen from its request; edge's 101 to the client
//	offer.go        the upgrade that edge requests from the API server
//	upstream101.go  the check of the API server's 101
//	header.go       parsing the headers of both sides
//	hijack.go       taking over the client's connection after the 101
//	errors.go       errors about an invalid 101 of the API server
package negotiate
