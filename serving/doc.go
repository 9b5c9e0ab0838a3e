// Package serving carries clients' connections from accept to close: TLS handshakes, HTTP/1.1 and HTTP/2, and what a
// connection may hold before anybody on it has logged in.
//
//	s := serving.New(base, serving.Config{TLS: tlsConfig, MaxConnections: n}) // base: handler, header timeout, log
//	err := s.Serve(listener)                                                  // until s.Shutdown or s.Close
//	serving.Of(r).Authenticated()                                             // the room that authenticates says so
//
// A connection is *unknown* until a request on it is authenticated, by whatever name but anonymous. Unknown connections
// share one budget for headers and handshakes, are closed early when idle, and are the first to go when connections
// run out. It decides nothing about a request, and knows no credential.
//
//	file                              what is in it
//	server.go                         accept, handshake, HTTP/1.1 or HTTP/2, shutdown
//	conn.go                           one connection: known or not
//	refusedrequests.go                how many 401s it may have
//	connectionlimit.go                all of them, in the order in which they may have to go
//	headerbudget.go                   what unknown ones may hold together
//	counter.go                        headers found in what a client sends, and what they cost
//	http1counter.go, http2counter.go  over HTTP/1.1, and HTTP/2
//	hpack.go                          where a field of HTTP/2 ends
//	rawconn.go, httpconn.go           the connection below TLS, and above it
//	connlistener.go                   connections that are ready, for net/http
//	handler.go                        a request, before the handler
//	refusal.go                        a Status that no handler writes
//	linger.go                         a refused connection, until its client has read why
//	verifypeer.go                     how long a client's chain of certificates may be
//	headervalues*.go                  as many values in a header as its size allows
//	errors.go                         why edge ends a connection
package serving
