package main

// All dialects of clients: protocols that a client can use for exec or port-forward. WebSocket
// dialects are named by their subprotocol.
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

// Values of edge's flag --upstream-streaming.
const (
	modeSPDY      = "spdy"
	modeWebSocket = "websocket"
)

// pair is a combination of a client's dialect and the protocol that edge uses upstream.
type pair struct {
	client dialect
	spoken string  // protocol that edge uses upstream
	relay  dialect // dialect in which the relay, a proxy that copies bytes, carries the same workload for comparison
	peer   string  // role of another proxy that carries the same two protocols as edge in this pair and is measured too; empty: none
}

// pairs are all combinations of client dialect and upstream protocol that can be measured, in the
// order in which bench measures them. Pairs with the same relay dialect are adjacent.
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

// beforeName returns the name that the pair has in reports when bench measures it with the second
// edge binary, which the flag --before names.
func (p pair) beforeName() string { return labelBefore + " " + p.name() }

// peerName returns the name of the pair in reports if another proxy is measured in the place of
// edge.
func (p pair) peerName() string { return p.peer + " " + p.name() }

// mode returns the value of edge's --upstream-streaming for this pair.
func (p pair) mode() string {
	if p.spoken == spokenSPDY {
		return modeSPDY
	}
	return modeWebSocket
}

// relayName returns the name of a relay in the report of pairs. The relay's client uses dialect d.
func relayName(d dialect) string { return "relay " + d.name }

func pairNames() []string {
	var all []string
	for _, p := range pairs {
		all = append(all, p.name())
	}
	return all
}

// lane is one proxy in the measurement of pairs: edge in a pair, another proxy that does the same,
// or the relay with which both are compared.
type lane struct {
	*proxy
	relay string // name of the relay by whose cost bench divides the cost of this proxy; empty: this proxy is a relay
}
