package session

import (
	"edge/bridge/internal/leg"
	"edge/bridge/internal/negotiate"
	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

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
