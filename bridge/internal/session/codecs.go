package session

import (
	"context"

	"edge/bridge/internal/negotiate"
	"edge/bridge/internal/upstream"
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
