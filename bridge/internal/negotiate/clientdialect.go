package negotiate

import (
	"fmt"
	"maps"
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

// Kind is a group of client dialects (protocols of a stream) that edge relays in the same way.
type Kind int

const (
	Opaque         Kind = iota // a WebSocket or SPDY connection that edge does not parse
	WebSocketExec              // remote command over WebSocket channels
	SPDYExec                   // remote command over SPDY
	WebSocketPorts             // port-forward over WebSocket channels
	Tunnel                     // port-forward as SPDY inside WebSocket
	SPDYPorts                  // port-forward over SPDY
)

// Dialect describes the protocol that a client uses for a stream. Choose derives it from the
// client's request.
type Dialect struct {
	Kind    Kind
	Target  Target
	Streams streams.Set // stdin, stdout and so on, as the request states; only for exec and attach
	Version ws.Dialect  // channel subprotocol; only for WebSocketExec and WebSocketPorts
	Ports   []uint16    // ports that the query names; only for WebSocketPorts
	// Subprotocol is the subprotocol that edge's 101 names. It is "" for opaque dialects, and if
	// the client offered none.
	Subprotocol string
	Passed      string // only for Opaque: the value of the client's Upgrade header
	Own         Offer  // only for Opaque: the client's upgrade request, to be passed on
	Name        string // name of the dialect in logs and metrics, see ClientNames
	// Accepted lists the subprotocols that edge supports, for the answer to a client that offers
	// none of them. It is nil for other clients.
	Accepted []string
}

// spdyVersions are the subprotocols that container runtimes speak for exec over SPDY. v5, which
// means the same as v4 over SPDY, is used only if the client offers nothing else.
var spdyVersions = []string{
	remotecommand.StreamProtocolV4Name, remotecommand.StreamProtocolV3Name, remotecommand.StreamProtocolV2Name, remotecommand.StreamProtocolV1Name,
}

// channelVersions are the channel subprotocols of exec and attach over WebSocket. edge uses the
// first one in the client's list, as Kubernetes' package wsstream does. A client that offers none
// gets v1, and the answer does not name it.
var channelVersions = map[string]ws.Dialect{
	ws.V1: ws.V1Channel, ws.V1Base64: ws.V1Base64Channel, ws.V4: ws.V4Channel, ws.V4Base64: ws.V4Base64Channel,
}

// portVersions are the channel subprotocols of port-forward over WebSocket. Clients in Java and
// kube-rs also offer v5, which is for exec only.
var portVersions = map[string]ws.Dialect{ws.V4: ws.V4Channel, ws.V4Base64: ws.V4Base64Channel}

// Choose determines the client's dialect from an upgrade request, or returns the refusal.
func Choose(r *http.Request) (Dialect, error) {
	d := Dialect{Target: ParseTarget(r.URL)}
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return d, status.BadRequest(status.ReasonDialect, "invalid upgrade request: an Upgrade header is allowed in HTTP/1.1 only")
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return d, status.BadRequest(status.ReasonDialect, "invalid upgrade request: it must not have a body")
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		return d, status.BadRequest(status.ReasonDialect, "invalid upgrade request: it has an Upgrade header, so Connection must contain Upgrade")
	}
	if isDisguised(r.URL) {
		return d, status.BadRequest(status.ReasonPath, "invalid path: the path of a pod's exec, attach or portforward must not contain escapes or empty segments")
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
		return d, status.BadRequest(status.ReasonDialect, "unsupported Upgrade header: edge supports websocket, and SPDY/3.1 on exec, attach and portforward")
	}
}

func (d Dialect) chooseWebSocket(r *http.Request) (Dialect, error) {
	if r.Method != http.MethodGet {
		return d, status.BadRequest(status.ReasonDialect, "invalid WebSocket handshake: the method must be GET")
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Sec-Websocket-Version"], webSocketVersion) {
		return d, status.BadRequest(status.ReasonDialect, "invalid WebSocket handshake: Sec-WebSocket-Version must be %s", webSocketVersion)
	}
	key := r.Header["Sec-Websocket-Key"]
	if len(key) != 1 || key[0] == "" {
		return d, status.BadRequest(status.ReasonDialect, "invalid WebSocket handshake: it must have exactly one Sec-WebSocket-Key")
	}
	var err error
	switch {
	case d.Target.isTerminal():
		d.Kind = WebSocketExec
		err = d.chooseChannels(r, channelVersions, ws.V5, ws.V5Channel)
	case d.Target.Verb == VerbPortForward && slices.Contains(subprotocols(r), ws.TunnelPortForward):
		d.Kind, d.Subprotocol = Tunnel, ws.TunnelPortForward
		if !isChallengeKey(key[0]) {
			err = status.BadRequest(status.ReasonDialect, "invalid WebSocket handshake: Sec-WebSocket-Key must be the base64 encoding of 16 bytes")
		}
	case d.Target.Verb == VerbPortForward:
		d.Kind = WebSocketPorts
		if err = d.chooseChannels(r, portVersions, "", 0); err == nil {
			if d.Ports, err = ws.ParsePorts(r.URL.Query()["ports"], d.Version); err != nil {
				err = status.BadRequest(status.ReasonDialect, "%s", err)
			}
		}
	default:
		d.Name = dialectName(WebSocket, opaqueName)
		d.Passed = WebSocket
		d.Own = offerOwn(r, d.Passed)
		return d, nil
	}
	d.Name = dialectName(WebSocket, d.Subprotocol)
	return d, err
}

// passSPDY makes d an SPDY upgrade that edge passes on without parsing it, because its path may
// lead to a stream that edge does not serve itself. The request keeps its method, and the server
// behind the path chooses the stream protocol.
func (d Dialect) passSPDY(r *http.Request) (Dialect, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return d, status.BadRequest(status.ReasonDialect, "invalid SPDY upgrade request: the method must be POST or GET")
	}
	d.Name = dialectName(spdy.Protocol, opaqueName)
	d.Passed = spdy.Protocol
	d.Own = offerOwn(r, d.Passed)
	return d, nil
}

// chooseChannels sets the channel subprotocol of d. It prefers the subprotocol in the parameter
// best if the client offers it, and otherwise uses the first subprotocol in the client's list that
// the map known contains.
func (d *Dialect) chooseChannels(r *http.Request, known map[string]ws.Dialect, best string, version ws.Dialect) error {
	offered := subprotocols(r)
	// A client that offers no subprotocol gets the default one, and the 101 names none, as in
	// Kubernetes' package wsstream.
	if len(offered) == 0 {
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
		fmt.Sprintf("edge: none of the offered WebSocket subprotocols is supported for %s: edge supports %s", d.Target.Verb, strings.Join(d.Accepted, ", ")))
}

// unnamedDialects are the subprotocols of clients that offer none.
var unnamedDialects = map[Kind]ws.Dialect{WebSocketExec: ws.V1Channel, WebSocketPorts: ws.V4Channel}

func (d Dialect) chooseSPDY(r *http.Request) (Dialect, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return d, status.BadRequest(status.ReasonDialect, "invalid SPDY upgrade request: the method must be POST or GET")
	}
	d.Kind = SPDYExec
	known := spdyVersions
	if d.Target.Verb == VerbPortForward {
		d.Kind, known = SPDYPorts, []string{spdy.PortForwardV1}
	}
	offered := listHeader(r.Header.Values(httpstream.HeaderProtocolVersion))
	for _, version := range offered { // use the first subprotocol in the client's list that edge supports
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
			return d, status.BadRequest(status.ReasonDialect, "invalid SPDY upgrade request: the header %s is missing", httpstream.HeaderProtocolVersion)
		}
		d.Accepted = known
		return d, status.New(status.ReasonDialect, http.StatusForbidden, metav1.StatusReasonForbidden,
			"edge: none of the offered stream protocols is supported: edge supports "+strings.Join(known, ", "))
	}
	d.Name = dialectName(spdy.Protocol, d.Subprotocol)
	return d, nil
}
