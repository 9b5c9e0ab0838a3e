// Package rawclient is a client of exec and port-forward that speaks each dialect there is, close to the wire, and tells
// all that it observed. The differential test runs one scenario through edge and against the API server itself and
// compares the two observations.
//
//	d := rawclient.Execs[0]
//	o, err := d.Exec(ctx, access, rawclient.Exec{Pod: "shell", Command: []string{"sh", "-c", "echo out; exit 7"}})
//	fmt.Print(o) // the answer, bytes of each stream, outcome, how it ended
//
// It is strict where real clients are lenient: what a server may not send is part of the observation. WebSocket is
// gorilla's, SPDY frames are spdystream's; the dialects above them are read here, so that nothing is lost between the
// wire and the observation.
//
//	dialects.go   the dialects
//	observe.go    what a client observed
//	dial.go       the upgrade request, and refusals
//	wire.go       what both protocols have in common
//	websocket.go  channels in messages
//	spdy.go       streams in frames, also inside WebSocket
//	exec.go       exec
//	forward.go    port-forward
package rawclient
