// Package serving serves clients' connections from accept to close. It does the TLS handshake,
// serves HTTP/1.1 and HTTP/2, and limits the resources of connections that are not authenticated.
//
//	s := serving.New(base, serving.Config{TLS: tlsConfig, MaxConnections: n}) // base: *http.Server
//	err := s.Serve(listener)          // returns after s.Shutdown or s.Close
//	serving.Of(r).Authenticated()     // the caller reports that the request r is authenticated
//
// A connection is unauthenticated ("unknown" in identifiers) until a request on it is authenticated
// as a user other than system:anonymous. Unauthenticated connections share one memory budget for
// headers and handshakes. They have a shorter idle timeout, and they are closed first when the
// maximum number of connections is reached.
//
// The package makes no decision about a request, and handles no credentials.
//
//	file                              content
//	server.go                         Server: accept, HTTP/1.1 or HTTP/2, shutdown
//	handshake.go                      the TLS handshake; the answer to plain HTTP
//	conn.go                           Conn: one connection and its state
//	refusedrequests.go                the limit of 401 answers on one connection
//	connectionlimit.go                the registry of connections, and which to close first
//	idletimeout.go                    the end of connections that have been idle for too long
//	headerbudget.go                   the memory budget of unauthenticated connections
//	counter.go                        what the two header counters have in common
//	http1counter.go, http2counter.go  the header counters of HTTP/1.1 and of HTTP/2
//	hpack.go                          where each field of an HTTP/2 header ends
//	rawconn.go, httpconn.go           the connection below TLS, and above it
//	connlistener.go                   passes connections after their handshake to net/http
//	handler.go                        checks on a request before the handler sees it
//	refusal.go                        Status answers that no handler writes
//	goaway.go                         the end of an idle HTTP/2 connection
//	linger.go                         keeps a refused connection until its client has read why
//	verifypeer.go                     the limit of certificates in a client's chain
//	headervalues*.go                  lifts Go 1.27's limit on the number of header values
//	errors.go                         errors that end a connection
package serving
