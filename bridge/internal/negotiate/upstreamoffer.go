package negotiate

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"edge/streams/spdy"
	"edge/streams/ws"
)

// Offer describes the upgrade that edge requests from the API server for one stream. After the 101
// it also names the chosen subprotocol.
type Offer struct {
	Method       string
	Protocol     string   // the Upgrade token
	Subprotocols []string // the preferred one first
	key          string   // Sec-WebSocket-Key; "" for SPDY
	// Opaque is true if edge passes on the client's own upgrade request unchanged.
	Opaque bool

	Chosen string // the subprotocol in the API server's 101
}

// OfferSPDY returns an offer of SPDY for t. Its method is always POST, so that RBAC checks the verb
// create, for every client dialect and every release of the API server.
func OfferSPDY(t Target) Offer {
	u := Offer{Method: http.MethodPost, Protocol: spdy.Protocol, Subprotocols: []string{remotecommand.StreamProtocolV4Name}}
	if t.Verb == VerbPortForward {
		u.Subprotocols = []string{spdy.PortForwardV1}
	}
	return u
}

// OfferWebSocket returns an offer of v5.channel.k8s.io for t, or of the tunnel (SPDY inside
// WebSocket) for a port-forward. v4 cannot signal the end of stdin, so it is offered only if there
// is no stdin. A server that knows v5 prefers v5.
func OfferWebSocket(t Target, stdin bool) Offer {
	u := Offer{Method: http.MethodGet, Protocol: WebSocket, Subprotocols: []string{ws.V5}, key: newKey()}
	switch {
	case t.Verb == VerbPortForward:
		u.Subprotocols = []string{ws.TunnelPortForward}
	case !stdin:
		u.Subprotocols = []string{ws.V5, ws.V4}
	}
	return u
}

// offerOwn returns the client's own upgrade as an offer, for a stream that edge does not parse.
// edge keeps the client's method and subprotocols.
func offerOwn(r *http.Request, protocol string) Offer {
	if protocol == spdy.Protocol {
		return Offer{Method: r.Method, Protocol: spdy.Protocol, Opaque: true, Subprotocols: listHeader(r.Header.Values(httpstream.HeaderProtocolVersion))}
	}
	return Offer{
		Method: http.MethodGet, Protocol: WebSocket, Opaque: true,
		Subprotocols: subprotocols(r), key: r.Header.Get("Sec-Websocket-Key"),
	}
}

func newKey() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// Name returns the name of the offered protocol for logs and metrics, see UpstreamNames.
func (u Offer) Name() string {
	if u.Opaque {
		return opaqueName
	}
	return dialectName(u.Protocol, u.Chosen)
}

// SetHeader adds the headers of the upgrade to header, the header of a request to the API server.
func (u Offer) SetHeader(header http.Header) {
	header["Connection"] = []string{"Upgrade"}
	header["Upgrade"] = []string{u.Protocol}
	if !u.Opaque || u.key == "" {
		dropWebSocket(header)
	}
	if !u.Opaque {
		delete(header, httpstream.HeaderProtocolVersion)
		delete(header, "Origin") // edge has checked the client's Origin; edge itself is no browser
	}
	if u.key == "" {
		if len(u.Subprotocols) > 0 {
			header[httpstream.HeaderProtocolVersion] = u.Subprotocols
		}
		return
	}
	header["Sec-Websocket-Key"] = []string{u.key}
	header["Sec-Websocket-Version"] = []string{webSocketVersion}
	if len(u.Subprotocols) > 0 { // one line: the API server reads only the first line
		header["Sec-Websocket-Protocol"] = []string{strings.Join(u.Subprotocols, ", ")}
	}
}
