package session

import (
	"io"

	"edge/bridge/internal/leg"
	"edge/streams"
	"edge/streams/ws"
)

// A spdyTransport is what a port-forward's SPDY codecs are put on: a leg, or a
// tunnel on it. Out coalesces its writes, also to the tunnel's Close: see direction.
type spdyTransport struct {
	in      io.Reader
	out     streams.Writer
	replier streams.Replier
	tunnel  *ws.Tunnel // nil: none
}

func upTransport(l *leg.Leg, tunnelled bool) spdyTransport {
	if !tunnelled {
		return spdyTransport{l, l.Coalesced(), l, nil}
	}
	tunnel := ws.NewClientTunnel(l, l, l.Coalesced())
	return spdyTransport{tunnel, tunnel, ws.ClientTunnelReplier(l), tunnel}
}

func downTransport(l *leg.Leg, tunnelled bool) spdyTransport {
	if !tunnelled {
		return spdyTransport{l, l.Coalesced(), l, nil}
	}
	tunnel := ws.NewTunnel(l, l, l.Coalesced())
	return spdyTransport{tunnel, tunnel, ws.TunnelReplier(l), tunnel}
}
