package negotiate

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"edge/bridge/internal/status"
	"edge/streams"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// Kind is a family of downstream dialects that relay alike.
type Kind int

const (
	Opaque         Kind = iota // a WebSocket, or SPDY, that edge does not read
	WebSocketExec              // remote command over WebSocket channels
	SPDYExec                   // remote command over SPDY
	WebSocketPorts             // port-forward over WebSocket channels
	Tunnel                     // port-forward: SPDY inside WebSocket
	SPDYPorts                  // port-forward over SPDY
)

// Dialect is what a client speaks, chosen from its request.
type Dialect struct {
	Kind        Kind
	Target      Target
	Streams     streams.Set // exec and attach
	Version     ws.Dialect  // WebSocketExec and WebSocketPorts
	Ports       []uint16    // WebSocketPorts
	Subprotocol string      // answered to the client; "" for none and for opaque
	Passed      string      // opaque: the Upgrade token
	Own         Offer       // opaque: the client's own upgrade
	Name        string      // for the log
	Accepted    []string    // subprotocols, told to a client that offers no such one
}

// spdyVersions are the subprotocols of exec over SPDY that container runtimes
// speak. v5, which is v4 to SPDY, is for those who offer nothing else.
var spdyVersions = []string{
	remotecommand.StreamProtocolV4Name, remotecommand.StreamProtocolV3Name, remotecommand.StreamProtocolV2Name, remotecommand.StreamProtocolV1Name,
}

// channelVersions are the channel protocols over WebSocket, of which the client's
// first choice wins, as with wsstream. Without any offer it is v1's, unnamed.
var channelVersions = map[string]ws.Dialect{
	ws.V1: ws.V1Channel, ws.V1Base64: ws.V1Base64Channel, ws.V4: ws.V4Channel, ws.V4Base64: ws.V4Base64Channel,
}

// portVersions are those of port-forward. Java and kube-rs offer v5 too, which
// is for exec only.
var portVersions = map[string]ws.Dialect{ws.V4: ws.V4Channel, ws.V4Base64: ws.V4Base64Channel}

// Choose is the negotiation table.
func Choose(r *http.Request) (Dialect, error) {
	d := Dialect{Target: ParseTarget(r.URL)}
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return d, status.BadRequest(status.ReasonDialect, "an Upgrade header has its place in HTTP/1.1 only")
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return d, status.BadRequest(status.ReasonDialect, "an upgrade request must not have a body")
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		return d, status.BadRequest(status.ReasonDialect, "the request has an Upgrade header, and its Connection header does not say Upgrade")
	}
	if isDisguised(r.URL) {
		return d, status.BadRequest(status.ReasonPath, "write the path of a pod's exec, attach or portforward without escapes and empty segments")
	}
	if d.Target.isTerminal() {
		query := r.URL.Query()
		d.Streams = streamSet(query)
	}
	upgrade := r.Header["Upgrade"]
	switch {
	case httpguts.HeaderValuesContainsToken(upgrade, WebSocket):
		return d.chooseWebSocket(r)
	case hasToken(upgrade, spdy.Protocol) && d.Target.IsStream():
		return d.chooseSPDY(r)
	case hasToken(upgrade, spdy.Protocol) && mayLeadToStream(r.URL.Path):
		return d.passSPDY(r)
	default:
		return d, status.BadRequest(status.ReasonDialect, "unsupported Upgrade: edge speaks websocket, and SPDY/3.1 on exec, attach and portforward")
	}
}

func (d Dialect) chooseWebSocket(r *http.Request) (Dialect, error) {
	if r.Method != http.MethodGet {
		return d, status.BadRequest(status.ReasonDialect, "a WebSocket handshake is a GET")
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Sec-Websocket-Version"], webSocketVersion) {
		return d, status.BadRequest(status.ReasonDialect, "WebSocket version %s is required", webSocketVersion)
	}
	key := r.Header["Sec-Websocket-Key"]
	if len(key) != 1 || key[0] == "" {
		return d, status.BadRequest(status.ReasonDialect, "a WebSocket handshake has one Sec-WebSocket-Key")
	}
	d.Name = WebSocket
	var err error
	switch {
	case d.Target.isTerminal():
		d.Kind = WebSocketExec
		err = d.chooseChannels(r, channelVersions, ws.V5, ws.V5Channel)
	case d.Target.Verb == VerbPortForward && slices.Contains(subprotocols(r), ws.TunnelPortForward):
		d.Kind, d.Subprotocol = Tunnel, ws.TunnelPortForward
		if !isChallengeKey(key[0]) {
			err = status.BadRequest(status.ReasonDialect, "Sec-WebSocket-Key must be the base64 of 16 bytes")
		}
	case d.Target.Verb == VerbPortForward:
		d.Kind = WebSocketPorts
		if err = d.chooseChannels(r, portVersions, "", 0); err == nil {
			if d.Ports, err = ws.ParsePorts(r.URL.Query()["ports"], d.Version); err != nil {
				err = status.BadRequest(status.ReasonDialect, "%s", err)
			}
		}
	default:
		d.Name += " opaque"
		d.Passed = WebSocket
		d.Own = offerOwn(r, d.Passed)
		return d, nil
	}
	d.Name += " " + d.Subprotocol
	return d, err
}

// passSPDY is for what leads to a stream that is none of edge's: it is passed on
// with its method, and whoever serves it chooses the stream protocol.
func (d Dialect) passSPDY(r *http.Request) (Dialect, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return d, status.BadRequest(status.ReasonDialect, "an SPDY upgrade is a POST")
	}
	d.Name = spdy.Protocol + " opaque"
	d.Passed = spdy.Protocol
	d.Own = offerOwn(r, d.Passed)
	return d, nil
}

// chooseChannels picks a channel protocol: best wherever it is offered, or else
// the client's first choice among known.
func (d *Dialect) chooseChannels(r *http.Request, known map[string]ws.Dialect, best string, version ws.Dialect) error {
	offered := subprotocols(r)
	if len(offered) == 0 { // as wsstream has it: the first of its protocols, and none is named
		d.Version = unnamedDialects[d.Kind]
		return nil
	}
	if best != "" && slices.Contains(offered, best) {
		d.Subprotocol, d.Version = best, version
		return nil
	}
	for _, d.Subprotocol = range offered {
		if version, ok := known[d.Subprotocol]; ok {
			d.Version = version
			return nil
		}
	}
	d.Accepted = slices.Sorted(maps.Keys(known))
	if best != "" {
		d.Accepted = append(d.Accepted, best)
	}
	return status.New(status.ReasonDialect, http.StatusForbidden, metav1.StatusReasonForbidden,
		fmt.Sprintf("edge: none of the offered WebSocket subprotocols is one of %s's; edge speaks %s", d.Target.Verb, strings.Join(d.Accepted, ", ")))
}

// unnamedDialects is what clients speak that offer no subprotocol.
var unnamedDialects = map[Kind]ws.Dialect{WebSocketExec: ws.V1Channel, WebSocketPorts: ws.V4Channel}

func (d Dialect) chooseSPDY(r *http.Request) (Dialect, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return d, status.BadRequest(status.ReasonDialect, "an SPDY upgrade is a POST")
	}
	d.Kind = SPDYExec
	known := spdyVersions
	if d.Target.Verb == VerbPortForward {
		d.Kind, known = SPDYPorts, []string{spdy.PortForwardV1}
	}
	offered := listHeader(r.Header.Values(httpstream.HeaderProtocolVersion))
	for _, version := range offered { // the client's first choice wins
		if slices.Contains(known, version) {
			d.Subprotocol = version
			break
		}
	}
	if d.Kind == SPDYExec && d.Subprotocol == "" && slices.Contains(offered, remotecommand.StreamProtocolV5Name) {
		d.Subprotocol = remotecommand.StreamProtocolV5Name
	}
	if d.Subprotocol == "" {
		if len(offered) == 0 {
			return d, status.BadRequest(status.ReasonDialect, "the header %s is missing", httpstream.HeaderProtocolVersion)
		}
		d.Accepted = known
		return d, status.New(status.ReasonDialect, http.StatusForbidden, metav1.StatusReasonForbidden,
			fmt.Sprintf("edge: none of the offered stream protocols is supported; edge speaks %s", strings.Join(known, ", ")))
	}
	d.Name = spdy.Protocol + " " + d.Subprotocol
	return d, nil
}

// Accept answers the client's upgrade and takes its connection.
func (d Dialect) Accept(w http.ResponseWriter, r *http.Request, resp *http.Response) (net.Conn, error) {
	h := w.Header()
	switch d.Kind {
	case WebSocketExec, WebSocketPorts, Tunnel: // not by a library, of which none takes each key that API servers take
		h.Set("Upgrade", WebSocket)
		h["Sec-WebSocket-Accept"] = []string{AcceptKey(r.Header.Get("Sec-Websocket-Key"))}
		if d.Subprotocol != "" {
			h["Sec-WebSocket-Protocol"] = []string{d.Subprotocol}
		}
	case Opaque:
		maps.Copy(h, resp.Header)
		delete(h, "Content-Length") // a 101 has none
		h.Set("Upgrade", d.Passed)
	default:
		h.Set("Upgrade", spdy.Protocol)
		h.Set(httpstream.HeaderProtocolVersion, d.Subprotocol)
	}
	h.Set("Connection", "Upgrade")
	return Hijack(w)
}
