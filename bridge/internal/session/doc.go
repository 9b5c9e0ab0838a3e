// Package session has a stream from its 101 to its end. It knows no HTTP.
//
//	session.go, cause.go, registry.go   what a session is; why it ends; all that there are
//	wiring.go                           codecs on legs, by the two dialects
//	relay.go, loop.go                   frames from a source to a sink; loops that give up their goroutine
//	exec.go                             five streams and one Status: how exec and attach end
//	execopens.go, execclose.go          until SPDY's streams are open; a client that closes or half-closes
//	outcome.go                          the Status that a client reads last, and its words
//	twoway.go                           port-forward and opaque upgrades: how they end
//	channels.go                         port-forward over WebSocket channels
//	fanout*.go                          port-forward whose connections have upstream sessions of their own
//	raw.go, unread.go                   bytes that edge does not read; keepalives between a WebSocket's frames
//
// Who closes, and what half-closes and resets become, is in the documentation of package bridge.
package session
