// Package rawclient is a client of exec and port-forward. It supports every dialect, works close to
// the wire, and reports everything that it observed. The differential test runs one scenario both
// through edge and directly at the API server, and compares the two observations.
//
//	d := rawclient.Execs[0]
//	e := rawclient.Exec{Pod: "shell", Command: []string{"sh", "-c", "echo out; exit 7"}}
//	o, err := d.Exec(ctx, access, e)
//	fmt.Print(o) // the refusal, or the bytes of each stream, the result, and how the session ended
//
// The client is strict where real clients are lenient: if a server sends something that it must not
// send, the observation contains it. WebSocket comes from gorilla and SPDY frames from spdystream.
// This package reads the dialects on top of them itself, so that an observation contains everything
// from the wire.
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
