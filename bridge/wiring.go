package bridge

import (
	"io"
	"sync"

	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// downBeat and upBeat make the keepalives of the two legs.
func (d dialect) downBeat() func([]byte, bool) []byte {
	switch d.kind {
	case wsExec, wsTunnel:
		return beatWebSocket
	case spdyExec, spdyRelay:
		return beatSPDY(2) // a server's pings have even ids
	}
	return nil
}

func (d dialect) upBeat() func([]byte, bool) []byte {
	if d.kind == opaque {
		return nil
	}
	return beatSPDY(1)
}

// beatWebSocket pings, and adds a pong nobody asked for while we do not read:
// client-go gives up 61 s after the last pong, and its own ping may lie behind
// data that we have not taken.
func beatWebSocket(dst []byte, paused bool) []byte {
	dst = ws.AppendPing(dst, nil)
	if paused {
		dst = ws.AppendPong(dst, nil)
	}
	return dst
}

func beatSPDY(first uint32) func([]byte, bool) []byte {
	next := first
	return func(dst []byte, _ bool) []byte {
		id := next
		next = (next + 2) & 0x7fffffff
		if next == 0 {
			next = first
		}
		return spdy.AppendPing(dst, id)
	}
}

// relay puts codecs on the session's legs and runs it.
func (d dialect) relay(s *session) {
	switch d.kind {
	case wsExec, spdyExec:
		d.relayExec(s)
	case wsTunnel, spdyRelay:
		d.relayPortForward(s)
	default:
		d.relayOpaque(s)
	}
}

func (d dialect) relayExec(s *session) {
	e := &execSession{session: s, set: d.set}
	upSink := spdy.NewExecClientSink(s.up, d.set)
	e.input.sink = upSink
	fromClient := streams.NewReader(s.down, e.input.flush)
	fromUpstream := streams.NewReader(s.up, e.output.flush)
	e.output.src = spdy.NewExecClientSource(fromUpstream, s.up, d.set)

	var start func() error
	if d.kind == wsExec {
		sink := ws.NewExecServerSink(s.down, d.version)
		e.input.src, e.output.sink = ws.NewExecServerSource(fromClient, s.down, d.version), sink
		e.closeCodes = true
		e.onClose = closeEndsAll
		if d.version == ws.V4Channel {
			e.onClose = closeEndsStdin
		}
		start = func() error { return sink.Start(d.firstOutput()) }
	} else {
		set := d.set
		switch d.subprotocol {
		case "v2.channel.k8s.io", "channel.k8s.io":
			set.Terminal = false // sizes came with v3
		}
		src := spdy.NewExecServerSource(fromClient, s.down, set)
		e.input.src, e.output.sink = src, spdy.NewExecServerSink(s.down, src)
		e.plainStatus = d.subprotocol != ws.V4
		whole := make(chan struct{})
		e.whole = whole
		closeOnce := sync.OnceFunc(func() { close(whole) })
		e.opened = func() {
			if src.Whole() {
				closeOnce()
			}
		}
	}
	e.input.broken = upSink.Open()
	if start != nil {
		e.output.broken = start()
	}
	e.run()
	fromClient.Close() // not after a panic: a loop may still read
	fromUpstream.Close()
}

// firstOutput is the channel whose empty message tells the client that the
// session began.
func (d dialect) firstOutput() streams.Role {
	switch {
	case d.set.Stdout:
		return streams.Stdout
	case d.set.Stderr:
		return streams.Stderr
	}
	return streams.Error
}

func (d dialect) relayPortForward(s *session) {
	var (
		table       spdy.Table
		fromClient  direction
		toClient    direction
		downWriter  streams.Writer  = s.down
		downReply   streams.Replier = s.down
		closer      closer
		clientBytes io.Reader = s.down
	)
	if d.kind == wsTunnel {
		tunnel := ws.NewTunnel(s.down, s.down, s.down)
		clientBytes, downWriter, downReply, closer = tunnel, tunnel, ws.TunnelReplier(s.down), tunnel
	}
	downReader := streams.NewReader(clientBytes, fromClient.flush)
	upReader := streams.NewReader(s.up, toClient.flush)
	fromClient.src, fromClient.sink = spdy.NewRelaySource(downReader, downReply, spdy.Client, &table), spdy.NewRelaySink(s.up)
	toClient.src, toClient.sink = spdy.NewRelaySource(upReader, s.up, spdy.Server, &table), spdy.NewRelaySink(downWriter)
	s.bothWays(&fromClient, &toClient, closer)
	downReader.Close()
	upReader.Close()
}

func (d dialect) relayOpaque(s *session) {
	fromClient, toClient := &rawSource{r: s.down}, &rawSource{r: s.up}
	s.bothWays(
		&direction{src: fromClient, sink: rawSink{s.up}},
		&direction{src: toClient, sink: rawSink{s.down}},
		nil)
	fromClient.close()
	toClient.close()
}
