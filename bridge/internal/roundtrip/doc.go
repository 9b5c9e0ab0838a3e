// Package roundtrip sends requests to one API server over HTTP/2 or HTTP/1.1. When a request gets
// no answer, the error states whether the API server may have processed it.
//
//	bodyreplay.go     keeps a request's body, so that the request can be sent again
//	errors.go         the errors of a request without an answer
//	transport.go      Transport, which sends requests, and the choice of the pool for a request
//	retry.go          the attempts of a request: when it may be sent again
//	pool.go           the connections with one receive window, and the requests that wait for a new one
//	dial.go           a new connection: TLS, and the protocol that ALPN selects
//	proxydial.go      a connection through an HTTP, HTTPS or SOCKS5 proxy
//	link.go           what edge observes on a connection: last read, HTTP/2 GOAWAY, stream numbers
//	http1.go          a connection without HTTP/2
//	health.go         when edge sends a PING on a silent connection, stops using it, and closes it
//	metrics.go        connections opened, lost and in use; requests that were sent again
//	receivewindow.go  which answers get a large receive window
//
// The package handles no credential, no identity and no metav1.Status: package upstream wraps it
// with client-go's round trippers.
package roundtrip
