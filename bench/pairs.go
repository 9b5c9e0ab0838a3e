package main

// Every dialect in which a client may come. WebSocket's are named by their subprotocol.
var (
	execV1       = execOver("exec/channel", subprotocolV1, false, false)
	execBase64   = execOver("exec/base64", subprotocolBase64, true, false)
	execV4       = execOver("exec/v4", subprotocolV4, false, true)
	execV4Base64 = execOver("exec/v4.base64", subprotocolV4Base64, true, true)
	execV5       = execOver("exec/v5", subprotocolV5, false, true)
	execSPDY     = execOverSPDY("exec/spdy")

	forwardV4     = forwardOver("forward/v4", subprotocolV4)
	forwardSPDY   = forwardOverSPDY("forward/spdy")
	forwardTunnel = forwardOverTunnel("forward/tunnel")
)

// Values of edge's --upstream-streaming.
const (
	modeSPDY      = "spdy"
	modeWebSocket = "websocket"
)

// pair is what a client speaks to edge and what edge speaks upstream.
type pair struct {
	client dialect
	spoken string  // by edge, to upstream
	relay  dialect // what the relay carries, opaquely, to be compared with
	peer   string  // role that does what edge does here, to be measured beside it; empty for none
}

// pairs are all that can be measured, in the order of their turns. Those with the same relay stand together.
var pairs = []pair{
	{client: execV5, spoken: spokenSPDY, relay: execV4},
	{client: execV4, spoken: spokenSPDY, relay: execV4},
	{client: execV1, spoken: spokenSPDY, relay: execV4},
	{client: execBase64, spoken: spokenSPDY, relay: execV4},
	{client: execV4Base64, spoken: spokenSPDY, relay: execV4},

	{client: execV5, spoken: spokenV5, relay: execV5},
	{client: execV4, spoken: spokenV5, relay: execV5},
	{client: execV1, spoken: spokenV5, relay: execV5},
	{client: execBase64, spoken: spokenV5, relay: execV5},
	{client: execV4Base64, spoken: spokenV5, relay: execV5},

	{client: execSPDY, spoken: spokenSPDY, relay: execSPDY},
	{client: execSPDY, spoken: spokenV5, relay: execSPDY},

	{client: forwardSPDY, spoken: spokenSPDY, relay: forwardSPDY},
	{client: forwardSPDY, spoken: spokenTunnel, relay: forwardSPDY},

	{client: forwardTunnel, spoken: spokenSPDY, relay: forwardTunnel, peer: "translator"},
	{client: forwardTunnel, spoken: spokenTunnel, relay: forwardTunnel},

	{client: forwardV4, spoken: spokenSPDY, relay: forwardV4},
	{client: forwardV4, spoken: spokenTunnel, relay: forwardV4},
}

func (p pair) name() string { return p.client.name + "/" + p.spoken }

// beforeName is what the line of the pair on edge's other binary is called.
func (p pair) beforeName() string { return labelBefore + " " + p.name() }

// peerName is what the line of the pair's peer is called.
func (p pair) peerName() string { return p.peer + " " + p.name() }

// mode is what edge must be told.
func (p pair) mode() string {
	if p.spoken == spokenSPDY {
		return modeSPDY
	}
	return modeWebSocket
}

// relayName is what a line of the relay is called among pairs.
func relayName(d dialect) string { return "relay " + d.name }

func pairNames() []string {
	var all []string
	for _, p := range pairs {
		all = append(all, p.name())
	}
	return all
}

// lane is what takes turns among pairs: a pair, its peer, or the relay that both are divided by.
type lane struct {
	*proxy
	relay string // the lane that it is divided by; empty for the relay itself
}
