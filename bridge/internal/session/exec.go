package session

import (
	"sync/atomic"

	"edge/streams"
)

// execSession is an exec or attach: five streams, one Status, and an end that
// the client must never mistake for success.
type execSession struct {
	*session
	set    streams.Set
	input  direction // client to process
	output direction // process to client

	client   execClient
	upstream execUpstream
	// goingAway: an SPDY client has sent its GOAWAY, so the connection's end is one that
	// it wants; of the input loop.
	goingAway bool

	inputDone     chan struct{} // closed when the input loop has ended
	outputDone    chan struct{} // closed when the output loop reads no more
	closeReceived chan struct{} // closed by the input loop when a WebSocket client's Close has come
	readDeadline  atomic.Int64  // until when, after the goodbye, a client may take to read it: Unix ns
}

// execClient is what the client's dialect is like.
type execClient struct {
	// allOpened is closed when the client has opened every stream of the set; nil
	// where the dialect opens none (WebSocket).
	allOpened <-chan struct{}
	// opened is called for every stream that the client opened, on the input loop.
	opened func()
	// plainStatus: plain text is on the error stream (SPDY before v4), where nothing
	// means success.
	plainStatus bool
	// reword: only API servers and edge speak it, and upstream is a container
	// runtime's, which an API server would have reworded.
	reword bool
	// closeCodes: it is WebSocket's. Its Close ends the session, and a breach can be
	// said by a close code.
	closeCodes bool
}

// execUpstream is what upstream's is like.
type execUpstream struct {
	// accepted is closed by the output loop when upstream has answered the opens of
	// its streams; nil where the dialect opens none (WebSocket).
	accepted <-chan struct{}
	// closesLast: nothing comes from upstream after its Close.
	closesLast bool
}
