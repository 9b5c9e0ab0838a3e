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

// Offer is what edge speaks to the API server for one stream: the request's
// half before the 101, the upstream dialect after it.
type Offer struct {
	Method       string
	Protocol     string   // the Upgrade token
	Subprotocols []string // subprotocols, the best first
	key          string   // Sec-WebSocket-Key; "" for SPDY
	Opaque       bool     // the client's own upgrade, with all that it asked for

	Chosen string // the subprotocol that the 101 names
}

// OfferSPDY is a POST whatever the client's method was, so that RBAC asks for
// create whatever the dialect and the API server's release.
func OfferSPDY(t Target) Offer {
	u := Offer{Method: http.MethodPost, Protocol: spdy.Protocol, Subprotocols: []string{remotecommand.StreamProtocolV4Name}}
	if t.Verb == VerbPortForward {
		u.Subprotocols = []string{spdy.PortForwardV1}
	}
	return u
}

// OfferWebSocket is v5, or the tunnel. v4 cannot say the end of stdin, so it
// will do where there is no stdin; a server that knows v5 chooses that.
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

// offerOwn is what edge does not read: it keeps its method, and what it offers.
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

// Name is for the log.
func (u Offer) Name() string {
	if u.Opaque {
		return "opaque"
	}
	return u.Protocol + " " + u.Chosen
}

// SetHeader puts the upgrade into the header of a request that goes upstream.
func (u Offer) SetHeader(header http.Header) {
	header["Connection"] = []string{"Upgrade"}
	header["Upgrade"] = []string{u.Protocol}
	if !u.Opaque || u.key == "" {
		dropWebSocket(header)
	}
	if !u.Opaque {
		delete(header, httpstream.HeaderProtocolVersion)
		delete(header, "Origin") // edge has looked at it; the API server knows edge only
	}
	if u.key == "" {
		if len(u.Subprotocols) > 0 {
			header[httpstream.HeaderProtocolVersion] = u.Subprotocols
		}
		return
	}
	header["Sec-Websocket-Key"] = []string{u.key}
	header["Sec-Websocket-Version"] = []string{webSocketVersion}
	if len(u.Subprotocols) > 0 { // upstream reads the first line only
		header["Sec-Websocket-Protocol"] = []string{strings.Join(u.Subprotocols, ", ")}
	}
}
