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
//	bridge.go            the way itself
//	handler.go           what a Handler is made of
//	header.go            the header that goes upstream
//	api.go               what the inner rooms have for other packages
//	clientaddress.go     where a request came from, and who vouches for it
//	observe.go           who is told what became of a request, and may refuse it
//	requestchecks.go     what edge refuses of requests, whoever sends them
//	origin.go            which web pages may open a WebSocket, or write
//	cors.go              which web pages may read an answer
//	sandbox.go           a page from below a proxy is nobody's
//	plain.go             no upgrade: the reverse proxy; failures as a Status
//	upgrade.go           a stream: refuse verbatim, or hand over to a session
//	lostupgrade.go       what a client is told whose Upgrade was lost on the way
//	lostupgradecache.go  how WebSockets were refused, for those
//
// The inner rooms, each of which imports only those below it:
//
//	internal/session    a stream from its 101 to its end
//	internal/upstream   one API server: transports, credential, protocols
//	internal/negotiate  what each side speaks
//	internal/leg        one connection
//	internal/status     every failure as a metav1.Status
//	internal/roundtrip  plain requests that may be sent again
//
// # Who closes
//
// Upstream's connection and the client's belong to the session: two loops, one for
// each direction, of which one closes both and waits for the other. A loop has a
// goroutine while there is something to carry. The
// handler has returned by then, so that net/http's buffers and stack are free;
// Drain waits for sessions. An exec ends with its
// Status as the last word: upstream's own, or, where upstream ended without one,
// a Failure that says so, because client-go takes a missing one for success.
//
// # Half-close and reset
//
// What an event on one leg of an exec or attach becomes on the other. Clients
// first, as far as all upstreams are alike; WebSocket v1 stands for all its kinds
// but v4 and v5:
//
//	event                     WebSocket v5           WebSocket v4, v1       SPDY
//	client ends stdin         [255,0]                cannot be said         FIN
//	client resets stdin       cannot be said         cannot be said         RST
//	client closes             answered at once with its code, and nothing   GOAWAY: nothing yet
//	                          after it; upstream gets what was said, and
//	                          an orderly end
//	client half-closes (TLS)  the connection's end                          stdin's FIN, if somebody
//	                                                                        still reads; output goes on
//	client's connection ends  upstream gets what was said, and an orderly end
//	client breaks the rules   Close with the code of the breach             Failure, GOAWAY
//	client's streams are not  -                      -                      Failure, GOAWAY
//	all open in 30 s
//	process ends its output   nothing                nothing                FIN, once
//	Status                    channel 3, Close 1000  channel 3, Close 1000; FIN on the outputs,
//	                                                 v1: its text           then error stream and
//	                                                                        its FIN, GOAWAY;
//	                                                                        before v4: its text
//	upstream ends without     Failure, Close 1000    Failure, Close 1000    Failure, GOAWAY
//	one, or with half a one
//	drain                     as if upstream had ended without one; edge's reason in it
//
// And upstream, where WebSocket v4 is only asked without stdin:
//
//	event                     SPDY                   WebSocket v5           WebSocket v4
//	stdin ends                FIN                    [255,0]                -
//	stdin is reset            RST                    [255,0]                -
//	another stream is ended   the same               cannot be said         cannot be said
//	or reset by the client
//	process ends its output   FIN or RST             is not said            is not said
//	Status                    data on the error      message on channel 3   message on channel 3
//	                          stream, to its end
//	the end                   GOAWAY, or TCP's       Close                  Close
//
// And of a port-forward or an opaque upgrade:
//
//	event                     tunnel                 SPDY                   channels               opaque
//	client half-closes or     the same, with the     the same, with the     cannot be said         bytes
//	resets a connection       same id                same id
//	pod ends or refuses a     the same               the same               text on its error      bytes
//	connection                                                              channel, or nothing;
//	                                                                        after the last: Close
//	                                                                        1000
//	client closes             Close, answered at     GOAWAY: GOAWAY         Close, answered at     bytes
//	                          once with its code                            once with its code
//	client's connection ends  upstream gets what was said, and an orderly end (a tunnel's Close 1000)
//	client breaks the rules   Close with the code    the connection's end   Close with the code    cannot happen
//	upstream's connection     Close 1001             the connection's end   Close 1001             the connection's end
//	ends, or drain
//
// The pings that edge says on an opaque WebSocket, and the pongs that answer them, are
// the only bytes that do not pass there; after a Close there are none.
//
// No dialect has flow control for one connection of several, and edge serve holds
// nothing for one: a pod that does not read makes TCP hold back all of a session,
// with edge as without.
//
// edge connect (StreamingWebSocketFirst) gives each connection of a client that
// speaks SPDY or the tunnel an upstream session that carries no other, up to 32
// with the sentinel, which was dialed before the 101 and carries none; beyond
// that the least used one is shared. See docs/port-forward.md. Where it differs:
//
//	event                            the client, SPDY or tunnel     upstream
//	a stream is opened               SYN_REPLY at once, or RST      nothing, until both are there
//	the other one is not there       RST                            nothing
//	in 30 s
//	client half-closes               -                              FIN
//	client resets the data stream    what the pod still says on     RST when the opens are accepted;
//	                                 the error stream; RST in 5 s   then the session's end
//	pod ends or refuses              the same                       the session's end
//	256 KiB wait for upstream, and   RST on both streams            the connection's end
//	hold up others for 30 s
//	a session is refused or breaks   RST on both streams            -
//	client says GOAWAY               Close 1000, or the             what was said before, then
//	                                 connection's end               an orderly end
//	the sentinel ends                as above: upstream's           the connections' end
//	                                 connection ends
//
// Whatever ends a session, the leg that is written last is half-closed and read
// on for at most 5 s, so that unread bytes make no reset that overtakes the end.
package bridge
