// Package session has a stream from its 101 to its end. It knows no HTTP.
//
//	session.go, cause.go, registry.go  what a session is; why it ends; all that there are
//	run.go, codecs.go                  its beginning; codecs on its legs, by the two dialects
//	keepalive.go, close.go             how often each leg hears something; a client's Close, and waits for it
//	relay.go, loop.go                  frames from a source to a sink; loops that give up their goroutine
//	exec.go, outcome.go                five streams and one Status; the Status, and its words
//	twoway.go, spdytransport.go        port-forward and opaque upgrades: how they end; SPDY, or a tunnel below it
//	channels.go                        port-forward over WebSocket channels
//	fanout*.go                         port-forward whose connections have upstream sessions of their own
//	raw.go, unread.go                  bytes that edge does not read; keepalives between a WebSocket's frames
//
// Who closes, and what half-closes and resets become, is in the documentation of package bridge.
package session
