package bridge

import (
	"context"
	"io"
	"sync"

	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// pair is what a session speaks on its two legs.
type pair struct {
	dialect
	up uplink
	// again asks for one more upstream session of a port-forward whose connections
	// have one each; nil: they share one.
	again func(context.Context) (upswitch, error)
	pass  *passing // of a WebSocket that passes unread; nil: it is none
}

// downBeat and upBeat make the keepalives of the two legs.
func (p pair) downBeat() func([]byte, bool) []byte {
	switch p.kind {
	case wsExec, wsPorts, wsTunnel:
		return beatWebSocket
	case spdyExec, spdyPorts:
		return beatSPDY(2) // a server's pings have even ids
	}
	if p.pass != nil {
		return p.pass.down.beat
	}
	return nil
}

func (p pair) upBeat() func([]byte, bool) []byte {
	switch {
	case p.pass != nil:
		return p.pass.up.beat
	case p.up.opaque:
		return nil
	case p.up.protocol == webSocket && p.again != nil:
		return beatTunnel()
	case p.up.protocol == webSocket:
		return func(dst []byte, _ bool) []byte { return ws.AppendClientPing(dst, nil) }
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

// beatTunnel pings the API server, and in the tunnel the container runtime, which
// ends a session without any frame after some hours.
func beatTunnel() func([]byte, bool) []byte {
	inner := beatSPDY(1)
	return func(dst []byte, paused bool) []byte {
		return ws.AppendClientTunnelled(ws.AppendClientPing(dst, nil), inner(nil, paused))
	}
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

// relay puts codecs on the session's legs and runs it. It returns true if the
// session goes on in other goroutines, the last of which calls over.
func (p pair) relay(s *session, over func()) (left bool) {
	switch p.kind {
	case wsExec, spdyExec:
		return p.relayExec(s, over)
	case wsPorts, wsTunnel, spdyPorts:
		if p.again != nil {
			p.relayFanout(s)
		} else {
			p.relayPorts(s)
		}
	default:
		if p.pass != nil {
			p.relayPassed(s)
		} else {
			p.relayOpaque(s)
		}
	}
	return false
}

func (p pair) relayExec(s *session, over func()) (left bool) {
	e := &execSession{session: s, set: p.set}
	e.input.to, e.output.to = e.up, e.down
	e.input.from, e.input.reader = s.down, streams.NewReader(s.down, e.input.beforeWait)
	e.output.from, e.output.reader = s.up, streams.NewReader(s.up, e.output.beforeWait)
	begin := p.execUp(e, e.output.reader)
	greet := p.execDown(e, e.input.reader)
	e.input.broken = begin()
	e.input.release()
	e.output.broken = greet()
	e.output.release()
	return e.run(over)
}

// execUp gives an exec its codecs towards the API server, and what begins it there.
func (p pair) execUp(e *execSession, r *streams.Reader) (begin func() error) {
	if p.up.protocol == webSocket {
		version := ws.V5Channel
		if p.up.chosen == ws.V4 {
			version = ws.V4Channel
		}
		e.input.sink, e.output.src = ws.NewExecClientSink(burst{e.up}, version), ws.NewExecClientSource(r, e.up, version)
		e.upClosesLast = true
		return nothing
	}
	sink, src := spdy.NewExecClientSink(burst{e.up}, p.set), spdy.NewExecClientSource(r, e.up, p.set)
	e.input.sink, e.output.src = sink, src
	accepted := make(chan struct{})
	e.accepted = accepted
	src.OnAnswered(func() { close(accepted) })
	return sink.Open
}

// execDown gives an exec its codecs towards the client, its dialect's rules for
// the end, and what tells the client that it began.
func (p pair) execDown(e *execSession, r *streams.Reader) (greet func() error) {
	if p.kind == wsExec {
		src, sink := ws.NewExecServerSource(r, e.down, p.version), ws.NewExecServerSink(burst{e.down}, p.version)
		e.input.src, e.output.sink = src, sink
		if p.up.protocol == webSocket {
			src.KeepMasks() // execUp has a sink that can take them; inputLoop does not look at stdin
		}
		e.closeCodes = true
		e.plainStatus = p.version == ws.V1Channel || p.version == ws.V1Base64Channel
		e.apiWords = p.version == ws.V5Channel && p.up.chosen != ws.V5
		return func() error { return sink.Start(p.firstOutput()) }
	}
	set := p.set
	switch p.subprotocol {
	case "v2.channel.k8s.io", ws.V1:
		set.Terminal = false // sizes came with v3
	}
	src := spdy.NewExecServerSource(r, e.down, set)
	e.input.src, e.output.sink = src, spdy.NewExecServerSink(burst{e.down}, src)
	e.plainStatus = p.subprotocol != ws.V4 && p.subprotocol != ws.V5
	whole := make(chan struct{})
	e.whole = whole
	closeOnce := sync.OnceFunc(func() { close(whole) })
	e.opened = func() {
		if src.Whole() {
			closeOnce()
		}
	}
	return nothing
}

func nothing() error { return nil }

// firstOutput is the channel whose empty message tells the client that the
// session began.
func (p pair) firstOutput() streams.Role {
	switch {
	case p.set.Stdout:
		return streams.Stdout
	case p.set.Stderr:
		return streams.Stderr
	}
	return streams.Error
}

// A spdyTransport is what a port-forward's SPDY codecs are put on: a leg, or a
// tunnel on it. Out writes in bursts, also to the tunnel's Close: see direction.
type spdyTransport struct {
	in      io.Reader
	out     streams.Writer
	replier streams.Replier
	tunnel  *ws.Tunnel // nil: none
}

func upTransport(l *leg, tunnelled bool) spdyTransport {
	if !tunnelled {
		return spdyTransport{l, burst{l}, l, nil}
	}
	tunnel := ws.NewClientTunnel(l, l, burst{l})
	return spdyTransport{tunnel, tunnel, ws.ClientTunnelReplier(l), tunnel}
}

func downTransport(l *leg, tunnelled bool) spdyTransport {
	if !tunnelled {
		return spdyTransport{l, burst{l}, l, nil}
	}
	tunnel := ws.NewTunnel(l, l, burst{l})
	return spdyTransport{tunnel, tunnel, ws.TunnelReplier(l), tunnel}
}

// relayPorts carries the connections of a port-forward. Below both SPDY codecs
// there may be a tunnel; WebSocket channels have ids like SPDY's streams.
func (p pair) relayPorts(s *session) {
	var table spdy.Table
	forward := twoWay{session: s}
	up := upTransport(s.up, p.up.protocol == webSocket)
	forward.upTunnel = up.tunnel
	upReader := streams.NewReader(up.in, forward.toClient.flush)
	var portsSource *spdy.PortsSource
	var portsSink *spdy.PortsSink
	if p.kind == wsPorts {
		s.up.extra = resetReply * len(p.ports) // PortsSource resets each once, and they may all end together
		portsSource, portsSink = spdy.NewPortsSource(upReader, up.replier, &table), spdy.NewPortsSink(up.out, &table)
		forward.toClient.src, forward.fromClient.sink = portsSource, portsSink
	} else {
		forward.toClient.src, forward.fromClient.sink = spdy.NewRelaySource(upReader, up.replier, spdy.Server, &table), spdy.NewRelaySink(up.out)
	}

	var downReader *streams.Reader
	if p.kind == wsPorts {
		downReader = streams.NewReader(s.down, forward.fromClient.flush)
		sink := ws.NewPortSink(burst{s.down}, p.ports, p.version)
		forward.fromClient.src, forward.toClient.sink = ws.NewPortSource(downReader, s.down, len(p.ports), p.version), sink
		forward.channels = newChannels(len(p.ports), &table)
		forward.channels.ask = portsSink.AskHeard
		portsSource.OnHeard(forward.channels.hear)
		forward.downClosed = forward.channels
		forward.toClient.broken = sink.Start()
		forward.fromClient.broken = spdy.OpenPorts(up.out, &table, p.ports)
	} else {
		down := downTransport(s.down, p.kind == wsTunnel)
		downReader = streams.NewReader(down.in, forward.fromClient.flush)
		forward.fromClient.src = spdy.NewRelaySource(downReader, down.replier, spdy.Client, &table)
		forward.toClient.sink = spdy.NewRelaySink(down.out)
		if down.tunnel != nil {
			forward.downClosed = down.tunnel
		}
	}
	forward.fromClient.to, forward.toClient.to = s.up, s.down
	forward.run()
	downReader.Close()
	upReader.Close()
}

// relayFanout carries a port-forward whose connections have an upstream session
// each. The one that is there already is the sentinel.
func (p pair) relayFanout(s *session) {
	var none spdy.Table // of the sentinel's connections
	forward := twoWay{session: s}
	up, down := upTransport(s.up, p.up.protocol == webSocket), downTransport(s.down, p.kind == wsTunnel)
	forward.upTunnel = up.tunnel
	if down.tunnel != nil {
		forward.downClosed = down.tunnel
	}
	upReader := streams.NewReader(up.in, forward.toClient.flush)
	downReader := streams.NewReader(down.in, forward.fromClient.flush)
	f := newFanout(s, p, down, downReader)
	forward.fromClient.src, forward.toClient.sink = f.source, spdy.NewPortServerSink(down.out, &f.table)
	forward.toClient.src, forward.fromClient.sink = spdy.NewPortsSource(upReader, up.replier, &none), spdy.NewPortsSink(up.out, &none)
	forward.fanout = f
	s.keepAlso(f.keepalive)
	forward.fromClient.to, forward.toClient.to = s.up, s.down
	forward.run()
	downReader.Close()
	upReader.Close()
}

func (p pair) relayOpaque(s *session) {
	fromClient, toClient := &rawSource{r: s.down}, &rawSource{r: s.up}
	forward := twoWay{session: s}
	forward.fromClient.src, forward.fromClient.sink = fromClient, rawSink{s.up}
	forward.toClient.src, forward.toClient.sink = toClient, rawSink{s.down}
	forward.run()
	fromClient.close()
	toClient.close()
}

// relayPassed is relayOpaque of a WebSocket, with keepalives between its frames.
func (p pair) relayPassed(s *session) {
	fromClient, toClient := &passSource{rawSource: rawSource{r: s.down}}, &passSource{rawSource: rawSource{r: s.up}}
	fromClient.passage.Own, toClient.passage.Own = p.pass.down.own, p.pass.up.own
	forward := twoWay{session: s}
	forward.fromClient.src, forward.fromClient.sink = fromClient, passSink{s.up, fromClient, &p.pass.up}
	forward.toClient.src, forward.toClient.sink = toClient, passSink{s.down, toClient, &p.pass.down}
	forward.run()
	fromClient.close()
	toClient.close()
}
