package bridge

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/impersonate"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// kind is a family of downstream dialects that relay alike.
type kind int

const (
	opaque    kind = iota // a WebSocket, or SPDY, that edge does not read
	wsExec                // remote command over WebSocket channels
	spdyExec              // remote command over SPDY
	wsPorts               // port-forward over WebSocket channels
	wsTunnel              // port-forward: SPDY inside WebSocket
	spdyPorts             // port-forward over SPDY
)

// dialect is what a client speaks, chosen from its request.
type dialect struct {
	kind        kind
	target      target
	set         spdy.Set   // exec and attach
	version     ws.Dialect // wsExec and wsPorts
	ports       []uint16   // wsPorts
	subprotocol string     // answered to the client; "" for none and for opaque
	passed      string     // opaque: the Upgrade token
	name        string     // for the log
	accepts     []string   // subprotocols, told to a client that offers no such one
}

// headerAccepted tells what a server would have accepted.
const headerAccepted = "X-Accepted-Stream-Protocol-Versions"

// spdyVersions are the subprotocols of exec over SPDY that container runtimes
// speak. v5, which is v4 to SPDY, is for those who offer nothing else.
var spdyVersions = []string{ws.V4, "v3.channel.k8s.io", "v2.channel.k8s.io", ws.V1}

// channelVersions are the channel protocols over WebSocket, of which the client's
// first choice wins, as with wsstream. Without any offer it is v1's, unnamed.
var channelVersions = map[string]ws.Dialect{
	ws.V1: ws.V1Channel, ws.V1Base64: ws.V1Base64Channel, ws.V4: ws.V4Channel, ws.V4Base64: ws.V4Base64Channel,
}

// portVersions are those of port-forward. Java and kube-rs offer v5 too, which
// is for exec only.
var portVersions = map[string]ws.Dialect{ws.V4: ws.V4Channel, ws.V4Base64: ws.V4Base64Channel}

const webSocketVersion = "13" // RFC 6455 section 4.1

// chooseDialect is the negotiation table.
func chooseDialect(r *http.Request) (dialect, error) {
	d := dialect{target: parseTarget(r.URL)}
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return d, badRequest(ReasonDialect, "an Upgrade header has its place in HTTP/1.1 only")
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return d, badRequest(ReasonDialect, "an upgrade request must not have a body")
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		return d, badRequest(ReasonDialect, "the request has an Upgrade header, and its Connection header does not say Upgrade")
	}
	if disguised(r.URL) {
		return d, badRequest(ReasonPath, "write the path of a pod's exec, attach or portforward without escapes and empty segments")
	}
	if d.target.isTerminal() {
		query := r.URL.Query()
		d.set = streamSet(query)
	}
	upgrade := r.Header["Upgrade"]
	switch {
	case httpguts.HeaderValuesContainsToken(upgrade, webSocket):
		return d.chooseWebSocket(r)
	case hasToken(upgrade, spdy.Protocol) && d.target.isStream():
		return d.chooseSPDY(r)
	case hasToken(upgrade, spdy.Protocol) && leadsOn(r.URL.Path):
		return d.passSPDY(r)
	default:
		return d, badRequest(ReasonDialect, "unsupported Upgrade: edge speaks websocket, and SPDY/3.1 on exec, attach and portforward")
	}
}

func (d dialect) chooseWebSocket(r *http.Request) (dialect, error) {
	if r.Method != http.MethodGet {
		return d, badRequest(ReasonDialect, "a WebSocket handshake is a GET")
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Sec-Websocket-Version"], webSocketVersion) {
		return d, badRequest(ReasonDialect, "WebSocket version %s is required", webSocketVersion)
	}
	key := r.Header["Sec-Websocket-Key"]
	if len(key) != 1 || key[0] == "" {
		return d, badRequest(ReasonDialect, "a WebSocket handshake has one Sec-WebSocket-Key")
	}
	d.name = webSocket
	var err error
	switch {
	case d.target.isTerminal():
		d.kind = wsExec
		err = d.chooseChannels(r, channelVersions, ws.V5, ws.V5Channel)
	case d.target.verb == verbPortForward && slices.Contains(subprotocols(r), ws.TunnelPortForward):
		d.kind, d.subprotocol = wsTunnel, ws.TunnelPortForward
		if !isChallengeKey(key[0]) {
			err = badRequest(ReasonDialect, "Sec-WebSocket-Key must be the base64 of 16 bytes")
		}
	case d.target.verb == verbPortForward:
		d.kind = wsPorts
		if err = d.chooseChannels(r, portVersions, "", 0); err == nil {
			if d.ports, err = ws.ParsePorts(r.URL.Query()["ports"], d.version); err != nil {
				err = badRequest(ReasonDialect, "%s", err)
			}
		}
	default:
		d.name += " opaque"
		d.passed = webSocket
		return d, nil
	}
	d.name += " " + d.subprotocol
	return d, err
}

// passSPDY is for what leads to a stream that is none of edge's: it is passed on
// with its method, and whoever serves it chooses the stream protocol.
func (d dialect) passSPDY(r *http.Request) (dialect, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return d, badRequest(ReasonDialect, "an SPDY upgrade is a POST")
	}
	d.name = spdy.Protocol + " opaque"
	d.passed = spdy.Protocol
	return d, nil
}

// chooseChannels picks a channel protocol: best wherever it is offered, or else
// the client's first choice among known.
func (d *dialect) chooseChannels(r *http.Request, known map[string]ws.Dialect, best string, version ws.Dialect) error {
	offered := subprotocols(r)
	if len(offered) == 0 { // as wsstream has it: the first of its protocols, and none is named
		d.version = unnamed[d.kind]
		return nil
	}
	if best != "" && slices.Contains(offered, best) {
		d.subprotocol, d.version = best, version
		return nil
	}
	for _, d.subprotocol = range offered {
		if version, ok := known[d.subprotocol]; ok {
			d.version = version
			return nil
		}
	}
	d.accepts = slices.Sorted(maps.Keys(known))
	if best != "" {
		d.accepts = append(d.accepts, best)
	}
	return failure(ReasonDialect, http.StatusForbidden, metav1.StatusReasonForbidden,
		fmt.Sprintf("edge: none of the offered WebSocket subprotocols is one of %s's; edge speaks %s", d.target.verb, strings.Join(d.accepts, ", ")))
}

// unnamed is what clients speak that offer no subprotocol.
var unnamed = map[kind]ws.Dialect{wsExec: ws.V1Channel, wsPorts: ws.V4Channel}

func (d dialect) chooseSPDY(r *http.Request) (dialect, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return d, badRequest(ReasonDialect, "an SPDY upgrade is a POST")
	}
	d.kind = spdyExec
	known := spdyVersions
	if d.target.verb == verbPortForward {
		d.kind, known = spdyPorts, []string{spdy.PortForwardV1}
	}
	offered := listHeader(r.Header.Values(spdy.HeaderProtocolVersion))
	for _, version := range offered { // the client's first choice wins
		if slices.Contains(known, version) {
			d.subprotocol = version
			break
		}
	}
	if d.kind == spdyExec && d.subprotocol == "" && slices.Contains(offered, ws.V5) {
		d.subprotocol = ws.V5
	}
	if d.subprotocol == "" {
		if len(offered) == 0 {
			return d, badRequest(ReasonDialect, "the header %s is missing", spdy.HeaderProtocolVersion)
		}
		d.accepts = known
		return d, failure(ReasonDialect, http.StatusForbidden, metav1.StatusReasonForbidden,
			fmt.Sprintf("edge: none of the offered stream protocols is supported; edge speaks %s", strings.Join(known, ", ")))
	}
	d.name = spdy.Protocol + " " + d.subprotocol
	return d, nil
}

// accept answers the client's upgrade and takes its connection.
func (d dialect) accept(w http.ResponseWriter, r *http.Request, resp *http.Response) (net.Conn, error) {
	h := w.Header()
	switch d.kind {
	case wsExec, wsPorts, wsTunnel: // not by a library, of which none takes each key that API servers take
		h.Set("Upgrade", webSocket)
		h["Sec-WebSocket-Accept"] = []string{acceptKey(r.Header.Get("Sec-Websocket-Key"))}
		if d.subprotocol != "" {
			h["Sec-WebSocket-Protocol"] = []string{d.subprotocol}
		}
	case opaque:
		impersonate.StripHopByHop(resp.Header)
		maps.Copy(h, resp.Header)
		delete(h, "Content-Length") // a 101 has none
		h.Set("Upgrade", d.passed)
	default:
		h.Set("Upgrade", spdy.Protocol)
		h.Set(spdy.HeaderProtocolVersion, d.subprotocol)
	}
	h.Set("Connection", "Upgrade")
	return hijacked(w)
}

func subprotocols(r *http.Request) []string {
	return listHeader(r.Header["Sec-Websocket-Protocol"])
}

// listHeader reads a header of one or many comma-separated lines.
func listHeader(lines []string) []string {
	var all []string
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item != "" {
				all = append(all, item)
			}
		}
	}
	return all
}

// hasToken is httpguts' search for tokens that contain a slash, as SPDY/3.1 does.
func hasToken(lines []string, token string) bool {
	return slices.ContainsFunc(listHeader(lines), func(item string) bool { return strings.EqualFold(item, token) })
}

// isChallengeKey is RFC 6455 section 4.1's key. API servers ask for it only where
// gorilla/websocket serves them, which is the tunnel: x/net, below wsstream, takes
// any.
func isChallengeKey(key string) bool {
	raw, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(raw) == 16
}

// acceptKey is RFC 6455 section 4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
