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
package serving
