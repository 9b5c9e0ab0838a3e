// Package negotiate determines which protocol each side of a stream uses: the client's dialect, and
// edge's offer to the API server.
//
// It makes no authorization decisions.
//
//	target.go         the pod and verb that a path stands for
//	clientupgrade.go  which requests edge handles as upgrades
//	clientdialect.go  the protocol that the client asked for, and edge's choice among its versions
//	client101.go      edge's 101 to the client; taking over the client's connection
//	upstreamoffer.go  the upgrade that edge requests from the API server
//	upstream101.go    the check of the API server's 101
//	names.go          the names of all dialects, for logs and metrics
//	header.go         parsing the headers of both sides
//	errors.go         errors about an invalid 101 of the API server
package negotiate
