package ws

import "edge/streams"

// TunnelReplier answers the protocol inside a server's tunnel through the leg's
// own replier: each answer, at most 125 bytes, becomes a message.
func TunnelReplier(leg streams.Replier) streams.Replier { return tunnelReplier{leg, server} }

// ClientTunnelReplier is TunnelReplier for a client's tunnel.
func ClientTunnelReplier(leg streams.Replier) streams.Replier { return tunnelReplier{leg, client} }

type tunnelReplier struct {
	leg  streams.Replier
	side side
}

// Pong implements streams.Replier. The leg's one slot is for the tunnel's own
// pongs, so the inner protocol's are replies like any other.
func (t tunnelReplier) Pong(b []byte) { t.Reply(b) }

// Reply implements streams.Replier.
func (t tunnelReplier) Reply(b []byte) error {
	if len(b) > maxControl {
		return streams.ErrReplies
	}
	var message [controlRoom + maxControl]byte
	return t.leg.Reply(t.side.appendTunnelled(message[:0], b))
}

// AppendClientTunnelled appends b, at most 125 bytes, as a message of a client's tunnel.
func AppendClientTunnelled(dst, b []byte) []byte { return client.appendTunnelled(dst, b) }

func (s side) appendTunnelled(dst, b []byte) []byte {
	var message [controlRoom + maxControl]byte
	end := controlRoom + copy(message[controlRoom:], b)
	return append(dst, message[s.seal(opBinary, message[:end], controlRoom):end]...)
}
