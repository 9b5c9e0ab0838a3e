// Package upstream connects edge to one API server. It chooses the transport, the credential and
// the streaming protocol of each request.
//
//	cluster.go, url.go      Cluster: everything that belongs to one API server; the URL of a request there
//	route.go, transport.go  transports with and without edge's own credential; edge's own requests
//	dial.go, spareconns.go  new connections; spare ones, opened before a stream needs one
//	credential.go           edge's own credential, and whether the API server accepts it
//	credentialtransport.go  a transport that finds out whether a 401 is about that credential
//	credentialheader.go     the header that carries the credential
//	protocolchoice.go       the protocol in which edge requests a stream
//	createpermission.go     may the client create the stream? asked before edge requests it by GET
//	streaming.go            the values of --upstream-streaming
//	upgradeanswer.go        how long edge waits for a 101; what an answer to an upgrade means
//	gatewayerror.go         the client's error when the API server does not answer
//	protocolcache.go        which protocols work on the path to the API server, as far as known
//	errors.go               ErrRefused, ErrNoCredential, the error of an upgrade without an answer
//
// Package roundtrip sends plain requests. Package upstream does not handle clients' connections.
package upstream
