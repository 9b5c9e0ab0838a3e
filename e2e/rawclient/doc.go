// Package rawclient is a client for exec and port-forward that reports everything that it observes.
// It supports every dialect (a protocol with a subprotocol) and works close to the wire. The
// differential test runs one scenario both through edge and directly at the API server, and
// compares the two observations.
//
//	d := rawclient.Execs[0]
//	e := rawclient.Exec{Pod: "shell", Command: []string{"sh", "-c", "echo out; exit 7"}}
//	o, err := d.Exec(ctx, access, e)
//	fmt.Print(o) // the refusal, or the bytes of each stream, the result, and how the session ended
//
// The client is strict where real clients are lenient: if a server sends something that the
// protocol forbids, the observation contains it. The library gorilla implements WebSocket, and
// spdystream reads and writes SPDY frames. This package itself implements the dialects on top of
// these two, so that an observation contains everything from the wire.
//
//	dialects.go   the dialects
//	observe.go    what a client observed
//	dial.go       the upgrade request, and refusals
//	wire.go       the wire interface, which both protocols implement
//	websocket.go  channels in messages
//	spdy.go       streams in frames, also inside WebSocket
//	exec.go       exec
//	forward.go    port-forward
package rawclient
