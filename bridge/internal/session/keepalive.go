package session

import (
	"io"

	"edge/bridge/internal/leg"
	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// keepaliveWebSocket pings, and adds a pong nobody asked for while we do not read:
// client-go gives up 61 s after the last pong, and its own ping may lie behind
// data that we have not taken.
func keepaliveWebSocket(dst []byte, paused bool) []byte {
	dst = ws.AppendPing(dst, nil)
	if paused {
		dst = ws.AppendPong(dst, nil)
	}
	return dst
}

// keepaliveTunnel pings the API server, and in the tunnel the container runtime, which
// ends a session without any frame after some hours.
func keepaliveTunnel() func([]byte, bool) []byte {
	inner := keepaliveSPDY(1)
	return func(dst []byte, paused bool) []byte {
		return ws.AppendClientTunnelled(ws.AppendClientPing(dst, nil), inner(nil, paused))
	}
}

func keepaliveSPDY(first uint32) func([]byte, bool) []byte {
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
