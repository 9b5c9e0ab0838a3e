package ws

import "edge/streams"

// TunnelReplier returns the Replier for the protocol inside a server's tunnel. It wraps each
// answer, at most 125 bytes, in a message and passes it to the connection's own Replier, the
// parameter leg.
func TunnelReplier(leg streams.Replier) streams.Replier { return tunnelReplier{leg, server} }

// ClientTunnelReplier returns the Replier for the protocol inside a client's tunnel. See
// TunnelReplier.
func ClientTunnelReplier(leg streams.Replier) streams.Replier { return tunnelReplier{leg, client} }

type tunnelReplier struct {
	leg  streams.Replier
	side side
}

// Pong implements streams.Replier. The connection can store only one pong, which must be the
// WebSocket's own. A pong of the protocol inside the tunnel is therefore sent as a reply.
func (t tunnelReplier) Pong(b []byte) { _ = t.Reply(b) }

// Reply implements streams.Replier.
func (t tunnelReplier) Reply(b []byte) error {
	if len(b) > maxControl {
		return streams.ErrReplies
	}
	var message [controlRoom + maxControl]byte
	return t.leg.Reply(t.side.appendTunnelled(message[:0], b))
}

// AppendClientTunnelled appends the bytes b of the protocol inside a tunnel, at most 125 bytes, to
// dst as one message of a client.
func AppendClientTunnelled(dst, b []byte) []byte { return client.appendTunnelled(dst, b) }

func (s side) appendTunnelled(dst, b []byte) []byte {
	var message [controlRoom + maxControl]byte
	end := controlRoom + copy(message[controlRoom:], b)
	return append(dst, message[s.seal(opBinary, message[:end], controlRoom):end]...)
}
