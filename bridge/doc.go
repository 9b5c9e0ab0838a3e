// Package bridge provides an http.Handler that forwards the requests of authenticated clients to
// one Kubernetes API server. Plain requests (REST, watch, logs) go over HTTP/2. An upgrade (exec,
// attach, port-forward) becomes a stream: edge relays it, and translates if the client and the API
// server use different protocols.
//
//	config := bridge.Config{Upstream: restConfig, Identify: identify, Review: review}
//	handler, err := bridge.New(config)
//	server := &http.Server{Handler: handler} // HTTP/1.1 and HTTP/2
//	server.Serve(tls.NewListener(bridge.Listener(l), tlsConfig))
//	...
//	handler.Drain(ctx) // ends the streams; each client receives a Status with the reason
//
// The API in groups:
//
//	New, Config, Handler               the handler; it drains, closes and counts streams
//	Listener                           lets the relay read without waiting: small messages cost less
//	Observer, Observation, Observers   are notified of each request; package audit is an Observer
//	Metrics, Tracing                   measure and trace what the handler does
//	End, Stream, Cause, Reason         how a request ended, for an Observer
//	Credential, NewCredential          edge's own credential at the API server
//	NewTransport                       a transport for edge's own requests
//	ClientIP                           the client's address, also behind trusted proxies
//	BeginsStream, Refuse, TokenInURL   for code that handles a request before a Handler does
//
// The package does not authenticate: Config.Identify does. It has no flags and does not know OIDC.
// It does not parse the streaming protocols: package streams does.
//
// # Files and packages
//
// The files, in the order in which a request passes through them:
//
//	handler.go           the Handler: New, the steps of a request, stream or plain request, Drain
//	config.go            Config: the configuration of a Handler
//	upstreamheader.go    the header of the upstream request
//	api.go               names of the internal packages that other packages may use
//	clientaddress.go     the client's address, and the proxies that edge trusts to report it
//	observe.go           the Observer: it is notified of each request and may refuse it
//	auditid.go           the Audit-ID of each request
//	metrics.go           Metrics: requests, refusals, bytes; of sessions and connections, too
//	metricverb.go        the label verb of a request
//	tracing.go           Tracing: a span for each request, and for its way upstream
//	requestchecks.go     requests that edge refuses from every client
//	origin.go            which web pages may open a WebSocket or send a write
//	cors.go              which web pages may read an answer
//	sandbox.go           pages from below a proxy subresource get an opaque origin
//	plain.go             plain requests: the reverse proxy; failures become a Status
//	upgrade.go           upgrades: passes on a refusal unchanged, or starts a session
//	lostupgrade.go       the answer to a stream request whose Upgrade header was lost
//	lostupgradecache.go  remembered refusals of WebSockets, for that answer
//
// The internal packages, each of which imports only those below it:
//
//	internal/session    a stream from its 101 to its end
//	internal/upstream   one API server: transports, credential, choice of the protocol
//	internal/negotiate  the protocol of each side
//	internal/leg        one connection of a session
//	internal/status     every failure as a metav1.Status
//	internal/roundtrip  plain requests, and whether they may be sent again
//
// # Who closes
//
// The session closes both the client's connection and upstream's. It has two loops, one for each
// direction; one of them closes both connections and waits for the other. A loop has a goroutine
// only while there are bytes to move. The HTTP handler has returned by then, so that net/http's
// buffers and stack are free. Drain waits for the sessions.
//
// The last frame of an exec is its Status: upstream's own, or, if upstream ended without one, a
// Failure that gives the reason. client-go would take a missing Status for success.
//
// # Half-close and reset
//
// The tables show how edge translates an event on one connection of a stream. "Failure" is a Status
// that edge writes. "-" means that the event cannot happen or that nothing is sent. "not possible"
// means that the protocol cannot express the event.
//
// An exec or attach, on the client's side, as far as all upstream protocols behave alike. v1 stands
// for all WebSocket subprotocols except v4 and v5:
//
//	event                        WebSocket v5           WebSocket v4, v1       SPDY
//	client ends stdin            [255,0]                not possible           FIN
//	client resets stdin          not possible           not possible           RST
//	client closes                edge answers at once with the same code, and  GOAWAY: no effect
//	                             sends nothing after it; upstream gets the     before the client's
//	                             client's data, and its side ends in order     connection ends
//	client half-closes (TLS)     as if the connection ended                    FIN of stdin if the
//	                                                                           client still reads;
//	                                                                           output continues
//	client's connection ends     upstream gets the client's data, and its side ends in order
//	client violates its          Close with the code of the violation          Failure, GOAWAY
//	protocol
//	client has not opened all    -                      -                      Failure, GOAWAY
//	its streams within 30 s
//	process ends an output       nothing                nothing                FIN, once
//	upstream sends the Status    channel 3, Close 1000  channel 3, Close       FIN on the outputs,
//	                                                    1000; v1: its text     error stream and
//	                                                                           its FIN, GOAWAY;
//	                                                                           before v4: its text
//	upstream ends without a      Failure, Close 1000                           Failure, GOAWAY
//	Status, or within one
//	drain                        as if upstream ended without a Status; the Failure contains
//	                             edge's reason
//
// An exec or attach, on the upstream side. edge uses WebSocket v4 there only without stdin:
//
//	event                           SPDY                  WebSocket v5          WebSocket v4
//	stdin ends                      FIN                   [255,0]               -
//	stdin is reset                  RST                   [255,0]               -
//	client ends or resets another   the same              not possible          not possible
//	stream
//	process ends an output          FIN or RST            not reported          not reported
//	Status                          data on the error     message on channel 3  message on channel
//	                                stream, to its end                          3
//	end of the session              GOAWAY, or the end    Close                 Close
//	                                of TCP
//
// A port-forward, or an opaque upgrade (one that edge does not parse):
//
//	event                   tunnel              SPDY             channels              opaque
//	client half-closes or   the same, with the  the same, with   not possible          bytes
//	resets a connection     same id             the same id
//	pod ends or refuses a   the same            the same         text on its error     bytes
//	connection                                                   channel, or nothing;
//	                                                             after the last one:
//	                                                             Close 1000
//	client closes           Close, answered at  GOAWAY: GOAWAY   Close, answered with  bytes
//	                        once with its code                   its code: at once,
//	                                                             or if the client has
//	                                                             sent data, when the
//	                                                             pod has read it
//	client's connection     upstream gets the client's data, and its side ends in order (tunnel:
//	ends                    Close 1000)
//	client violates its     Close with the      end of the       Close with the code   cannot
//	protocol                code                connection                             happen
//	upstream's connection   Close 1001          end of the       Close 1001            end of the
//	ends, or drain                              connection                             connection
//
// On an opaque WebSocket, edge sends its own pings and drops the pongs that answer them; all other
// bytes pass unchanged. After a Close, edge sends no more pings.
//
// No protocol has flow control for a single connection of a session, and edge serve buffers nothing
// for one. If a pod does not read from one connection, TCP therefore holds up the whole session, as
// it does without edge.
//
// edge connect (StreamingWebSocketFirst) gives each connection of a port-forward an upstream
// session of its own, if the client uses SPDY or the tunnel. The client has up to 32 upstream
// sessions. One of them is the sentinel, which was dialed before the 101 and carries no connection.
// If all are in use, new connections share the least used session. See docs/port-forward.md. Where
// this differs from the table above:
//
//	event                               the client, SPDY or tunnel    upstream
//	client opens a stream               SYN_REPLY at once, or RST     nothing until the
//	                                                                  connection's two streams are
//	                                                                  open
//	the second stream is not open       RST                           nothing
//	within 30 s
//	client half-closes                  -                             FIN
//	client resets the data stream       what the pod still sends on   RST when the streams are
//	                                    the error stream; RST after   accepted; then the end of
//	                                    5 s                           the session
//	pod ends or refuses                 the same                      end of the session
//	256 KiB wait for upstream, and      RST on both streams           end of the connection
//	hold up other connections for 30 s
//	an upstream session is refused or   RST on both streams           -
//	breaks
//	client sends GOAWAY                 Close 1000, or end of the     the client's data; then its
//	                                    connection                    side ends in order
//	the sentinel ends                   tunnel: Close 1001; SPDY:     end of the connections
//	                                    end of the connection
//
// When a session ends, edge half-closes the connection to which it writes last. It continues to
// read from it for at most 5 s: unread bytes would cause a reset, which could overtake the last
// frame.
package bridge
