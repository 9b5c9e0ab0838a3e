package ws

import "edge/streams"

// TunnelReplier returns the replier for the protocol inside a server's tunnel. It wraps each
// answer, at most 125 bytes, in a message and gives it to the leg's own replier.
func TunnelReplier(leg streams.Replier) streams.Replier { return tunnelReplier{leg, server} }

// ClientTunnelReplier is TunnelReplier for a client's tunnel.
func ClientTunnelReplier(leg streams.Replier) streams.Replier { return tunnelReplier{leg, client} }

type tunnelReplier struct {
	leg  streams.Replier
	side side
}

// Pong implements streams.Replier. The leg has one slot for a pong, which the tunnel's own pongs
// need. A pong of the inner protocol is therefore a reply.
func (t tunnelReplier) Pong(b []byte) { t.Reply(b) }

// Reply implements streams.Replier.
func (t tunnelReplier) Reply(b []byte) error {
	if len(b) > maxControl {
		return streams.ErrReplies
	}
	var message [controlRoom + maxControl]byte
	return t.leg.Reply(t.side.appendTunnelled(message[:0], b))
}

// AppendClientTunnelled appends b, at most 125 bytes, as one message of a client's tunnel.
func AppendClientTunnelled(dst, b []byte) []byte { return client.appendTunnelled(dst, b) }

func (s side) appendTunnelled(dst, b []byte) []byte {
	var message [controlRoom + maxControl]byte
	end := controlRoom + copy(message[controlRoom:], b)
	return append(dst, message[s.seal(opBinary, message[:end], controlRoom):end]...)
}
