// Package session relays a stream from its 101 to its end. It handles no HTTP requests.
//
//	session.go, sessionlog.go          the session; its log lines
//	registry.go                        the registry of all sessions
//	endcause.go, errors.go, panic.go   why a session ends; a panic ends one session only
//	run.go, codecs.go                  the start; sources and sinks for the two dialects
//	keepalive.go, websocketclose.go    the keepalives of each leg; a WebSocket client's Close
//	relay.go, loop.go                  moving frames; loops that give up their goroutine
//	exec.go, execopens.go              an exec: five streams and one Status; waiting for the opens
//	execrelay.go, execend.go           the two loops of an exec; how an exec ends
//	execstatus.go                      the final Status for the client, and its message
//	twoway.go                          how port-forwards and opaque upgrades end
//	spdytransport.go                   SPDY with or without a tunnel below it
//	channels.go                        port-forward over WebSocket channels
//	fanout*.go                         port-forward with one upstream session per connection
//	raw.go, unread.go                  bytes that edge does not parse; their keepalives
//
// The documentation of package bridge states which side closes, and how edge translates half-closes
// and resets.
package session
