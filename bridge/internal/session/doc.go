// Package session has a stream from its 101 to its end. It handles no HTTP request.
//
//	session.go, registry.go            what a session is; all that there are
//	endcause.go, errors.go             why one ends: the list of causes, and the errors that have them
//	panic.go                           a bug ends one session
//	run.go, codecs.go                  its beginning; codecs on its legs, by the two dialects
//	keepalive.go, websocketclose.go    how often each leg hears something; a WebSocket client's Close
//	relay.go, loop.go                  frames from a source to a sink; loops that give up their goroutine
//	exec.go, execopens.go              five streams and one Status; until SPDY's streams are open
//	execrelay.go, execend.go           its loops; how it ends, whoever ends it
//	execstatus.go                      the Status that a client reads last, and its words
//	twoway.go, spdytransport.go        port-forward and opaque upgrades: how they end; SPDY, or a tunnel below it
//	channels.go                        port-forward over WebSocket channels
//	fanout*.go                         port-forward whose connections have upstream sessions of their own
//	raw.go, unread.go                  bytes that edge does not read; keepalives between a WebSocket's frames
//
// Who closes, and what half-closes and resets become, is in the documentation of package bridge.
package session
