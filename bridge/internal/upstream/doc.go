// Package upstream has one API server: how it is reached, and what edge speaks to it.
//
//	cluster.go        the transports, with edge's own credential and with none; requests of edge's own
//	dial.go           a connection, with what the relay needs below TLS
//	spares.go         connections that are there before the stream that needs one
//	credential.go     edge's own credential, and whether it is accepted
//	credentialed.go   a transport that knows whether a 401 is about that credential
//	choose.go         in which protocol a stream is asked for, and the review before
//	protocolcache.go  which protocols the way to the API server carries, as far as that is known
//
// Plain requests go by package roundtrip. It knows no client's connection.
package upstream
