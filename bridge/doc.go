// Package bridge is the handler between the listener and the API server: the
// plain path (REST, watch, logs) over HTTP/2, and the upgrade path, on which a
// client's exec, attach or port-forward meets upstream's in another protocol.
//
//	handler, err := bridge.New(bridge.Config{Upstream: restConfig, Identify: identify})
//	server := &http.Server{Handler: handler} // HTTP/1.1 and HTTP/2
//	server.Serve(tls.NewListener(bridge.Listener(l), tlsConfig))
//	...
//	handler.Drain(ctx) // streams end with a Status that says why
//
// It does not authenticate (Config.Identify does), knows no flags and no OIDC,
// and reads no wire format: those are package streams'.
//
// A request's way, and the file that has it:
//
//	bridge.go    identity, and the header that goes upstream
//	plain.go     no upgrade: the reverse proxy; failures as a Status
//	target.go    which pod and verb a path means, also behind a proxy
//	origin.go    which web pages may open a WebSocket
//	dialect.go   the negotiation table: what the client speaks, and the 101s
//	upgrade.go   ask upstream, refuse verbatim or hijack
//	upstream.go  the API server's two transports
//	wiring.go    codecs on legs, by dialect
//	relay.go     the loop: frames from a source to a sink
//	exec.go      five streams and one Status: how exec and attach end
//	both.go      port-forward and opaque upgrades: how they end
//	raw.go       bytes of a protocol that edge does not read
//	leg.go       one connection: writes, answers, keepalives
//	poll.go      reading what is there already, below TLS
//	session.go   one stream from the 101 to its log line
//	registry.go  admission, limits, drain
//	status.go    every failure as a metav1.Status
//
// # Who closes
//
// Upstream's connection and the client's belong to the session: two goroutines,
// one for each direction, of which one closes both and waits for the other. The
// handler has returned by then, so that net/http's buffers and stack are free;
// Drain waits for sessions. An exec ends with its
// Status as the last word: upstream's own, or, where upstream ended without one,
// a Failure that says so, because client-go takes a missing one for success.
//
// # Half-close and reset
//
// Upstream is SPDY for all but opaque upgrades. What an event on one leg of an
// exec or attach becomes on the other:
//
//	event                     WebSocket v5           WebSocket v4           SPDY v1-v4
//	client ends stdin         [255,0]: FIN           Close: FIN, and        FIN: FIN
//	                                                 output goes on
//	client resets a stream    cannot be said         cannot be said         RST: RST
//	client closes             answered with its      see above              GOAWAY: nothing yet
//	                          code; upstream is cut
//	client's connection ends  upstream gets what was said, and an orderly end
//	client breaks the rules   Close with the code of the breach             Failure, GOAWAY
//	client's streams are not  -                      -                      Failure, GOAWAY
//	all open in 30 s
//	process ends its output,  nothing                nothing                FIN, once
//	by FIN or RST
//	Status                    channel 3, Close 1000  channel 3, Close 1000  FIN on the outputs,
//	                                                                        then error stream and
//	                                                                        its FIN, GOAWAY
//	upstream ends without     Failure, Close 1000    Failure, Close 1000    Failure (before v4:
//	one, or with half a one                                                 text), GOAWAY
//	drain                     as if upstream had ended without one; edge's reason in it
//
// And of a port-forward or an opaque upgrade:
//
//	event                     tunnel                 SPDY                   opaque
//	either half-closes or     the same, with the     the same, with the     bytes
//	resets a stream           same id                same id
//	client closes             Close, answered with   GOAWAY: GOAWAY         bytes
//	                          its code
//	client's connection ends  upstream gets what was said, and an orderly end
//	client breaks the rules   Close with the code    the connection's end   cannot happen
//	upstream's connection     Close 1001             the connection's end   the connection's end
//	ends, or drain
//
// Whatever ends a session, the leg that is written last is half-closed and read
// on for at most 5 s, so that unread bytes make no reset that overtakes the end.
package bridge
