package session

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/util/remotecommand"

	"edge/bridge/internal/leg"
	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/upstream"
	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// codecs holds the dialects (protocols) of a session's two connections. It creates the sources,
// which decode frames, and the sinks, which encode them.
type codecs struct {
	negotiate.Dialect
	up negotiate.Offer
	// again requests one more upstream session for a port-forward with one session per connection.
	// nil: the connections share one session.
	again func(context.Context) (upstream.Answer, error)
	// unread is set for a WebSocket that edge does not parse, and nil otherwise.
	unread *unreadWebSocket
}

// clientKeepalive returns the function that appends a keepalive for the connection to the client,
// or nil. upstreamKeepalive does the same for the connection to the API server.
func (p codecs) clientKeepalive() func([]byte, bool) []byte {
	switch p.Kind {
	case negotiate.WebSocketExec, negotiate.WebSocketPorts, negotiate.Tunnel:
		return keepaliveWebSocket
	case negotiate.SPDYExec, negotiate.SPDYPorts:
		return keepaliveSPDY(2) // the ids of a server's pings are even
	}
	if p.unread != nil {
		return p.unread.down.appendTo
	}
	return nil
}

func (p codecs) upstreamKeepalive() func([]byte, bool) []byte {
	switch {
	case p.unread != nil:
		return p.unread.up.appendTo
	case p.up.Opaque:
		return nil
	case p.up.Protocol == negotiate.WebSocket && p.again != nil:
		return keepaliveTunnel()
	case p.up.Protocol == negotiate.WebSocket:
		return func(dst []byte, _ bool) []byte { return ws.AppendClientPing(dst, nil) }
	}
	return keepaliveSPDY(1)
}

// run creates the decoders (sources) and encoders (sinks) for the session's two connections, and
// relays. It returns true if the session continues in other goroutines; the last of these calls
// over.
func (p codecs) run(s *session, over func()) (left bool) {
	switch p.Kind {
	case negotiate.WebSocketExec, negotiate.SPDYExec:
		return p.relayExec(s, over)
	case negotiate.WebSocketPorts, negotiate.Tunnel, negotiate.SPDYPorts:
		if p.again != nil {
			p.relayFanout(s)
		} else {
			p.relayPorts(s)
		}
	default:
		if p.unread != nil {
			p.relayPassed(s)
		} else {
			p.relayOpaque(s)
		}
	}
	return false
}

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

// relayPorts relays the connections of a port-forward. SPDY may run inside a tunnel (a WebSocket)
// on the client's side, on upstream's side, or on both. WebSocket channels get ids like those of
// SPDY streams.
func (p codecs) relayPorts(s *session) {
	var table spdy.Table
	forward := twoWay{session: s, kind: new(symmetric)}
	up := upTransport(s.up, p.up.Protocol == negotiate.WebSocket)
	forward.upTunnel = up.tunnel
	upReader := streams.NewReader(up.in, forward.toClient.flush)
	var portsSource *spdy.PortsSource
	var portsSink *spdy.PortsSink
	if p.Kind == negotiate.WebSocketPorts {
		// Allow one reset for each connection: PortsSource resets each stream once, and all
		// connections may end at the same time.
		s.up.AllowReplies(leg.ResetReply * len(p.Ports))
		portsSource, portsSink = spdy.NewPortsSource(upReader, up.replier, &table), spdy.NewPortsSink(up.out, &table)
		forward.toClient.src, forward.fromClient.sink = portsSource, portsSink
	} else {
		forward.toClient.src, forward.fromClient.sink = spdy.NewRelaySource(upReader, up.replier, spdy.Server, &table), spdy.NewRelaySink(up.out)
	}

	var downReader *streams.Reader
	if p.Kind == negotiate.WebSocketPorts {
		downReader = streams.NewReader(s.down, forward.fromClient.flush)
		sink := ws.NewPortSink(s.down.RelayWriter(), p.Ports, p.Version)
		forward.fromClient.src, forward.toClient.sink = ws.NewPortSource(downReader, s.down, len(p.Ports), p.Version), sink
		numbered := newChannels(len(p.Ports), &table)
		numbered.ask = portsSink.AskDelivered
		portsSource.OnDelivered(numbered.hear)
		forward.kind, forward.clientClose = numbered, numbered
		forward.toClient.writeErr = sink.Start()
		forward.fromClient.writeErr = spdy.OpenPorts(up.out, &table, p.Ports)
	} else {
		down := downTransport(s.down, p.Kind == negotiate.Tunnel)
		downReader = streams.NewReader(down.in, forward.fromClient.flush)
		forward.fromClient.src = spdy.NewRelaySource(downReader, down.replier, spdy.Client, &table)
		forward.toClient.sink = spdy.NewRelaySink(down.out)
		if down.tunnel != nil {
			forward.clientClose = down.tunnel
		}
	}
	forward.fromClient.coalescing, forward.toClient.coalescing = s.up, s.down
	forward.run()
	downReader.Close()
	upReader.Close()
}

// relayFanout relays a port-forward in which each connection gets an upstream session of its own.
// The upstream session that was opened before the 101 carries no connection: it is the sentinel,
// whose end ends the client's session.
func (p codecs) relayFanout(s *session) {
	var none spdy.Table // streams of the sentinel, the upstream session without connections
	forward := twoWay{session: s}
	up, down := upTransport(s.up, p.up.Protocol == negotiate.WebSocket), downTransport(s.down, p.Kind == negotiate.Tunnel)
	forward.upTunnel = up.tunnel
	if down.tunnel != nil {
		forward.clientClose = down.tunnel
	}
	upReader := streams.NewReader(up.in, forward.toClient.flush)
	downReader := streams.NewReader(down.in, forward.fromClient.flush)
	f := newFanout(s, p.again, p.upstreamKeepalive, down, downReader)
	forward.fromClient.src, forward.toClient.sink = f.source, spdy.NewPortServerSink(down.out, &f.table)
	forward.toClient.src, forward.fromClient.sink = spdy.NewPortsSource(upReader, up.replier, &none), spdy.NewPortsSink(up.out, &none)
	forward.kind = f
	s.alsoKeepAlive(f.keepalive)
	forward.fromClient.coalescing, forward.toClient.coalescing = s.up, s.down
	forward.run()
	downReader.Close()
	upReader.Close()
}

func (p codecs) relayOpaque(s *session) {
	fromClient, toClient := &rawSource{r: s.down}, &rawSource{r: s.up}
	forward := twoWay{session: s, kind: new(symmetric)}
	forward.fromClient.src, forward.fromClient.sink = fromClient, rawSink{s.up}
	forward.toClient.src, forward.toClient.sink = toClient, rawSink{s.down}
	forward.run()
	fromClient.close()
	toClient.close()
}

// relayPassed relays a WebSocket that edge does not parse. It finds the borders of the WebSocket's
// frames, so that edge can send keepalives between the frames.
func (p codecs) relayPassed(s *session) {
	fromClient, toClient := &unreadSource{rawSource: rawSource{r: s.down}}, &unreadSource{rawSource: rawSource{r: s.up}}
	fromClient.passage.Own, toClient.passage.Own = p.unread.down.own, p.unread.up.own
	forward := twoWay{session: s, kind: new(symmetric)}
	forward.fromClient.src, forward.fromClient.sink = fromClient, unreadSink{s.up, fromClient, &p.unread.up}
	forward.toClient.src, forward.toClient.sink = toClient, unreadSink{s.down, toClient, &p.unread.down}
	forward.run()
	fromClient.close()
	toClient.close()
}
