// Package roundtrip carries plain requests to one API server and says what became of those that got no answer.
//
//	keep.go       a request's body is kept, so that the request can be sent again
//	errors.go     what became of a request without an answer
//	transport.go  what carries requests; which pool a request goes to
//	retry.go      a request's tries: whether it may be sent again
//	pool.go       the connections of one window, and who waits for the next one
//	dial.go       a new connection: proxy, TLS, and the protocol that ALPN gives
//	link.go       what passes over a connection: the last read, HTTP/2's GOAWAY, stream numbers
//	http1.go      a connection without HTTP/2
//	health.go     when a silent connection is asked for a sign of life, left alone, and closed
//	window.go     who may have a large receive window
//
// It knows no credential, no identity and no Status: package upstream puts client-go's wrappers around it.
package roundtrip
