// Package upstream has one API server: how it is reached, and what edge speaks to it.
//
//	cluster.go              what belongs to one API server
//	route.go, transport.go  its transports, with edge's own credential and with none; requests of edge's own
//	dial.go, spareconns.go  a connection; those that are there before the stream that needs one
//	credential.go           edge's own credential, and whether it is accepted
//	credentialtransport.go  a transport that knows whether a 401 is about that credential
//	credentialheader.go     what is sent as the credential
//	protocolchoice.go       in which protocol a stream is asked for
//	createreview.go         the review before a stream that goes upstream as a GET
//	streaming.go            what an operator may say about that
//	upgradeanswer.go        what an answer to an upgrade means
//	gatewayerror.go         what a client reads when the API server does not answer
//	protocolcache.go        which protocols the way to the API server carries, as far as that is known
//	errors.go               no credential, a refused one, and an upgrade without an answer
//
// Plain requests go by package roundtrip. It knows no client's connection.
package upstream
