package session

import (
	"io"

	"edge/bridge/internal/leg"
	"edge/streams"
	"edge/streams/ws"
)

// A spdyTransport carries the SPDY frames of a port-forward: directly on a connection, or in a
// tunnel (SPDY inside WebSocket). The connection keeps back what is written to the field out, and
// the tunnel's Close, until the relay loop flushes. So several frames leave in one write.
type spdyTransport struct {
	in      io.Reader
	out     streams.Writer
	replier streams.Replier
	tunnel  *ws.Tunnel // nil: no tunnel
}

func upTransport(l *leg.Leg, tunnelled bool) spdyTransport {
	if !tunnelled {
		return spdyTransport{l, l.RelayWriter(), l, nil}
	}
	tunnel := ws.NewClientTunnel(l, l, l.RelayWriter())
	return spdyTransport{tunnel, tunnel, ws.ClientTunnelReplier(l), tunnel}
}

func downTransport(l *leg.Leg, tunnelled bool) spdyTransport {
	if !tunnelled {
		return spdyTransport{l, l.RelayWriter(), l, nil}
	}
	tunnel := ws.NewTunnel(l, l, l.RelayWriter())
	return spdyTransport{tunnel, tunnel, ws.TunnelReplier(l), tunnel}
}
