package main

import (
	"edge/streams/spdy"
	"edge/streams/ws"
)

// kind is a kind of session, such as exec over WebSocket. A kind whose field attach is nil is a
// watch.
type kind struct {
	name        string
	subresource string
	protocol    string // value of the request's Upgrade header
	offer       string // the subprotocol that the upgrade request offers
	attach      func(w *wire, port uint16) (link, error)
}

const webSocket = "websocket"

var kinds = []kind{
	{"exec", "exec", webSocket, ws.V5, execOverWebSocket},
	{"exec-spdy", "exec", spdy.Protocol, ws.V4, execOverSPDY},
	{"port-forward", "portforward", webSocket, ws.TunnelPortForward, forwardOverTunnel},
	{"port-forward-spdy", "portforward", spdy.Protocol, spdy.PortForwardV1, forwardOverSPDY},
	{name: "watch"},
}

func (k *kind) isWatch() bool { return k.attach == nil }
