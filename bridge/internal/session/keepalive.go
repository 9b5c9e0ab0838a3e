package session

import (
	"time"

	"edge/streams/spdy"
	"edge/streams/ws"
)

// keepaliveInterval is how often edge sends a keepalive on each connection of a session. Load
// balancers close a connection after 60 s without a byte.
const keepaliveInterval = 20 * time.Second

// keepaliveWebSocket appends a ping. While edge does not read from the peer (paused), it also
// appends an unsolicited pong. client-go ends the session 61 s after the last pong, and edge may
// not have read client-go's own ping yet because data is in front of it.
func keepaliveWebSocket(dst []byte, paused bool) []byte {
	dst = ws.AppendPing(dst, nil)
	if paused {
		dst = ws.AppendPong(dst, nil)
	}
	return dst
}

// keepaliveTunnel returns a function that appends a ping to the API server and, inside the tunnel
// (SPDY inside WebSocket), one to the container runtime. The container runtime ends a session on
// which no frame arrives for some hours.
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

// mostSilent is how many keepalives in a row may stay without any byte from upstream, if
// answersPings is set: 80 s. client-go waits 61 s.
const mostSilent = 4
