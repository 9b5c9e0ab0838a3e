package negotiate

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/remotecommand"

	"edge/streams/spdy"
	"edge/streams/ws"
)

// opaqueName ends the names of dialects that edge does not parse.
const opaqueName = "opaque"

// dialectName returns the name of a dialect for logs and metrics: the protocol, and the subprotocol
// if there is one.
func dialectName(protocol, subprotocol string) string {
	if subprotocol == "" {
		return protocol
	}
	return protocol + " " + subprotocol
}

// ClientNames returns every value of Dialect.Name.
func ClientNames() []string {
	names := []string{
		dialectName(WebSocket, ""), dialectName(WebSocket, ws.V5), dialectName(WebSocket, ws.TunnelPortForward), dialectName(WebSocket, opaqueName),
		dialectName(spdy.Protocol, remotecommand.StreamProtocolV5Name), dialectName(spdy.Protocol, spdy.PortForwardV1), dialectName(spdy.Protocol, opaqueName),
	}
	for _, version := range slices.Sorted(maps.Keys(channelVersions)) {
		names = append(names, dialectName(WebSocket, version))
	}
	for _, version := range spdyVersions {
		names = append(names, dialectName(spdy.Protocol, version))
	}
	return names
}

// UpstreamNames returns every value of Offer.Name.
func UpstreamNames() []string {
	return []string{
		dialectName(WebSocket, ws.V5), dialectName(WebSocket, ws.V4), dialectName(WebSocket, ws.TunnelPortForward),
		dialectName(spdy.Protocol, remotecommand.StreamProtocolV4Name), dialectName(spdy.Protocol, spdy.PortForwardV1),
		opaqueName,
	}
}
