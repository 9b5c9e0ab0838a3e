package session

import (
	"sync"

	"k8s.io/apimachinery/pkg/util/remotecommand"

	"edge/bridge/internal/negotiate"
	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

func (p codecs) relayExec(s *session, over func()) (left bool) {
	e := &execSession{session: s, set: p.Streams}
	e.input.coalescing, e.output.coalescing = e.up, e.down
	e.input.fromLeg, e.input.reader = s.down, streams.NewReader(s.down, e.input.beforeWait)
	e.output.fromLeg, e.output.reader = s.up, streams.NewReader(s.up, e.output.beforeWait)
	begin := p.execUpstream(e, e.output.reader)
	greet := p.execClient(e, e.input.reader)
	e.input.writeErr = begin()
	e.input.flushLeg()
	e.output.writeErr = greet()
	e.output.flushLeg()
	return e.run(over)
}

// execUpstream sets the decoder (source) and encoder (sink) of an exec for the connection to the
// API server. It returns a function that opens the streams there.
func (p codecs) execUpstream(e *execSession, r *streams.Reader) (begin func() error) {
	if p.up.Protocol == negotiate.WebSocket {
		version := ws.V5Channel
		if p.up.Chosen == ws.V4 {
			version = ws.V4Channel
		}
		e.input.sink, e.output.src = ws.NewExecUpstreamSink(e.up.RelayWriter(), version), ws.NewExecUpstreamSource(r, e.up, version)
		e.upstream.closesLast = true
		return nothing
	}
	sink, src := spdy.NewExecUpstreamSink(e.up.RelayWriter(), p.Streams), spdy.NewExecUpstreamSource(r, e.up, p.Streams)
	e.input.sink, e.output.src = sink, src
	accepted := make(chan struct{})
	e.upstream.accepted = accepted
	src.OnAnswered(func() { close(accepted) })
	return sink.Open
}

// execClient sets the decoder (source) and encoder (sink) of an exec for the connection to the
// client, and how the exec ends in the client's dialect. It returns a function that informs the
// client that the session has begun.
func (p codecs) execClient(e *execSession, r *streams.Reader) (greet func() error) {
	if p.Kind == negotiate.WebSocketExec {
		src, sink := ws.NewExecDownstreamSource(r, e.down, p.Version), ws.NewExecDownstreamSink(e.down.RelayWriter(), p.Version)
		e.input.src, e.output.sink = src, sink
		if p.up.Protocol == negotiate.WebSocket {
			// Keep the WebSocket masks with which the client sent stdin: the sink (encoder) that
			// execUpstream has set accepts masked data, and inputLoop does not read stdin's bytes.
			src.KeepMasks()
		}
		e.client.closeCodes = true
		e.client.plainStatus = p.Version == ws.V1Channel || p.Version == ws.V1Base64Channel
		e.client.reword = p.Version == ws.V5Channel && p.up.Chosen != ws.V5
		return func() error { return sink.Start(p.firstOutput()) }
	}
	set := p.Streams
	switch p.Subprotocol {
	case remotecommand.StreamProtocolV1Name, remotecommand.StreamProtocolV2Name:
		set.Terminal = false // protocol v1 and v2 have no stream for terminal sizes
	}
	src := spdy.NewExecDownstreamSource(r, e.down, set)
	e.input.src, e.output.sink = src, spdy.NewExecDownstreamSink(e.down.RelayWriter(), src)
	e.client.plainStatus = p.Subprotocol != remotecommand.StreamProtocolV4Name && p.Subprotocol != remotecommand.StreamProtocolV5Name
	whole := make(chan struct{})
	e.client.allOpened = whole
	closeOnce := sync.OnceFunc(func() { close(whole) })
	e.client.opened = func() {
		if src.Whole() {
			closeOnce()
		}
	}
	return nothing
}

func nothing() error { return nil }

// firstOutput returns the channel on which edge sends an empty message to show the client that the
// session has begun.
func (p codecs) firstOutput() streams.Role {
	switch {
	case p.Streams.Stdout:
		return streams.Stdout
	case p.Streams.Stderr:
		return streams.Stderr
	}
	return streams.Error
}
