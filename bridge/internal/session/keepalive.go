package session

import (
	"time"

	"edge/streams/spdy"
	"edge/streams/ws"
)

// keepaliveInterval is how often each leg gets a keepalive: load balancers drop a connection after 60 s without a byte.
const keepaliveInterval = 20 * time.Second

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

// mostSilent is how many keepalives in a row may go without a byte in return, where
// answers is set: 80 s. client-go waits 61 s.
const mostSilent = 4
