// Package session relays a stream from its 101 to its end. It handles no HTTP requests.
//
//	session.go, sessionlog.go          the session; its log lines
//	registry.go, sessionlimit.go       the registry of all sessions; how many there may be
//	endcause.go, errors.go, panic.go   why a session ends; a panic ends one session only
//	run.go, codecs.go, execcodecs.go   the start; sources and sinks for the two dialects
//	keepalive.go, websocketclose.go    the keepalives of each leg; a WebSocket client's Close
//	relay.go, loop.go                  moving frames; loops that give up their goroutine
//	exec.go, execopens.go              an exec: five streams and one Status; waiting for the opens
//	execrelay.go, execend.go           the two loops of an exec; how an exec ends
//	execstatus.go                      the final Status for the client, and its message
//	portforward*.go, spdytransport.go  a port-forward; SPDY with or without a tunnel below it
//	fanout*.go                         port-forward with one upstream session per connection
//	opaque*.go                         bytes that edge does not parse; their keepalives
//	metrics.go, measure.go             the metrics of sessions, and how a session is measured
//	twoway.go                          how port-forwards and opaque upgrades end
//
// The documentation of package bridge states which side closes, and how edge translates half-closes
// and resets.
package session
