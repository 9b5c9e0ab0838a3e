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
}

// pairs are all that can be measured, in the order of their turns. Those with the same relay stand together.
var pairs = []pair{
	{execV5, spokenSPDY, execV4},
	{execV4, spokenSPDY, execV4},
	{execV1, spokenSPDY, execV4},
	{execBase64, spokenSPDY, execV4},
	{execV4Base64, spokenSPDY, execV4},

	{execV5, spokenV5, execV5},
	{execV4, spokenV5, execV5},
	{execV1, spokenV5, execV5},
	{execBase64, spokenV5, execV5},
	{execV4Base64, spokenV5, execV5},

	{execSPDY, spokenSPDY, execSPDY},
	{execSPDY, spokenV5, execSPDY},

	{forwardSPDY, spokenSPDY, forwardSPDY},
	{forwardSPDY, spokenTunnel, forwardSPDY},

	{forwardTunnel, spokenSPDY, forwardTunnel},
	{forwardTunnel, spokenTunnel, forwardTunnel},

	{forwardV4, spokenSPDY, forwardV4},
	{forwardV4, spokenTunnel, forwardV4},
}

func (p pair) name() string { return p.client.name + "/" + p.spoken }

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

// lane is what takes turns among pairs: a pair, or the relay that pairs are divided by.
type lane struct {
	*proxy
	relay string // the lane that it is divided by; empty for the relay itself
}
