package session

import (
	"sync/atomic"

	"edge/streams"
)

// execSession is an exec or attach: five streams and one final Status. A failed or incomplete exec
// must never look like success to the client.
type execSession struct {
	*session
	set streams.Set
	// goingAway is true after an SPDY client has sent a GOAWAY: the client wants the connection to
	// end. Only the input loop uses it.
	goingAway bool

	input  direction // client to process
	output direction // process to client

	client   execClient
	upstream execUpstream

	inputDone     chan struct{} // closed when the input loop has ended
	outputDone    chan struct{} // closed when the output loop reads no more frames from upstream
	closeReceived chan struct{} // closed by the input loop when a WebSocket client sends its Close
	// readDeadline is the deadline, in Unix ns, for the client to read the final Status.
	readDeadline atomic.Int64
}

// execClient describes how an exec works in the client's dialect.
type execClient struct {
	// allOpened is closed when the client has opened every stream that its request names. It is nil
	// for WebSocket, where the client opens no streams.
	allOpened <-chan struct{}
	// opened is called for each stream that the client opens, by the loop that reads the client's
	// frames (the input loop).
	opened func()
	// plainStatus is true if the error stream carries plain text, as in SPDY before v4. No text
	// then means success.
	plainStatus bool
	// reword is true if upstream's Status comes from a container runtime, although the client uses
	// a dialect that only API servers and edge support. edge then changes the message of the
	// Status, as an API server would.
	reword bool
	// closeCodes is true for WebSocket: a Close ends the session, and its code can report a
	// protocol violation.
	closeCodes bool
}

// execUpstream describes how an exec works in the dialect of the API server's side.
type execUpstream struct {
	// accepted is closed by the output loop when upstream has accepted all streams. It is nil for
	// WebSocket, where edge opens no streams.
	accepted <-chan struct{}
	// closesLast is true if upstream sends nothing after its Close, as over WebSocket.
	closesLast bool
}
