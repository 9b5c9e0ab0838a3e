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

	"github.com/gorilla/websocket"
	"golang.org/x/net/http/httpguts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/impersonate"
	"edge/streams/spdy"
	"edge/streams/ws"
)

// kind is a family of downstream dialects that relay alike.
type kind int

const (
	opaque    kind = iota // a WebSocket that edge does not read
	wsExec                // remote command over WebSocket channels
	spdyExec              // remote command over SPDY
	wsTunnel              // port-forward: SPDY inside WebSocket
	spdyRelay             // port-forward over SPDY
)

// dialect is what a client speaks, chosen from its request.
type dialect struct {
	kind         kind
	target       target
	set          spdy.Set   // exec and attach
	version      ws.Dialect // wsExec
	subprotocol  string     // answered to the client; "" for opaque
	name         string     // for the log
	upstreamName string
	accepts      []string // SPDY subprotocols, told to a client that offers no such one
}

// headerAccepted tells what a server would have accepted.
const headerAccepted = "X-Accepted-Stream-Protocol-Versions"

// execVersions are the SPDY subprotocols that edge speaks to clients, those of
// container runtimes. Upstream it always speaks v4.
var execVersions = []string{"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"}

// chooseDialect is the negotiation table.
func chooseDialect(r *http.Request) (dialect, error) {
	d := dialect{target: parseTarget(r.URL), upstreamName: "opaque"}
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return d, badRequest("an Upgrade header has its place in HTTP/1.1 only")
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		return d, badRequest("an upgrade request must not have a body")
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		return d, badRequest("the request has an Upgrade header, and its Connection header does not say Upgrade")
	}
	if disguised(r.URL) {
		return d, badRequest("write the path of a pod's exec, attach or portforward without escapes and empty segments")
	}
	if d.target.isTerminal() {
		query := r.URL.Query()
		d.set = streamSet(query)
	}
	upgrade := r.Header["Upgrade"]
	switch {
	case httpguts.HeaderValuesContainsToken(upgrade, "websocket"):
		return d.chooseWebSocket(r)
	case hasToken(upgrade, spdy.Protocol) && d.target.isStream():
		return d.chooseSPDY(r)
	case hasToken(upgrade, spdy.Protocol):
		return d, badRequest("SPDY/3.1 is for exec, attach and portforward of a pod only")
	default:
		return d, badRequest("unsupported Upgrade: edge speaks websocket, and SPDY/3.1 on exec, attach and portforward")
	}
}

func (d dialect) chooseWebSocket(r *http.Request) (dialect, error) {
	if r.Method != http.MethodGet {
		return d, badRequest("a WebSocket handshake is a GET")
	}
	if !websocket.IsWebSocketUpgrade(r) { // gorilla reads these lists once more, after upstream's 101
		return d, badRequest("Connection and Upgrade are not a WebSocket client's")
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Sec-Websocket-Version"], "13") {
		return d, badRequest("WebSocket version 13 is required")
	}
	key := r.Header["Sec-Websocket-Key"]
	if len(key) != 1 || !isChallengeKey(key[0]) {
		return d, badRequest("Sec-WebSocket-Key must be the base64 of 16 bytes")
	}
	if !sameOrigin(r) {
		return d, failure(http.StatusForbidden, metav1.StatusReasonForbidden, "edge: WebSockets are accepted from pages of the same host only (Origin)")
	}
	offered := subprotocols(r)
	d.name = "websocket"
	switch {
	case d.target.isTerminal() && slices.Contains(offered, ws.V5):
		d.kind, d.version, d.subprotocol = wsExec, ws.V5Channel, ws.V5
	case d.target.isTerminal() && slices.Contains(offered, ws.V4):
		d.kind, d.version, d.subprotocol = wsExec, ws.V4Channel, ws.V4
	case d.target.isTerminal(): // passed on as a GET it would need less than create before 1.35
		return d, failure(http.StatusForbidden, metav1.StatusReasonForbidden,
			fmt.Sprintf("edge: exec and attach over WebSocket need the subprotocol %s or %s", ws.V5, ws.V4))
	case d.target.verb == verbPortForward && slices.Contains(offered, ws.TunnelPortForward):
		d.kind, d.subprotocol = wsTunnel, ws.TunnelPortForward
	default:
		d.name = "websocket opaque"
		return d, nil
	}
	d.name = "websocket " + d.subprotocol
	d.upstreamName = "SPDY/3.1 " + d.upstreamProtocol()
	return d, nil
}

func (d dialect) chooseSPDY(r *http.Request) (dialect, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return d, badRequest("an SPDY upgrade is a POST")
	}
	d.kind = spdyExec
	known := execVersions
	if d.target.verb == verbPortForward {
		d.kind, known = spdyRelay, []string{spdy.PortForwardV1}
	}
	offered := listHeader(r.Header.Values(spdy.HeaderProtocolVersion))
	for _, version := range offered { // the client's first choice wins
		if slices.Contains(known, version) {
			d.subprotocol = version
			break
		}
	}
	if d.subprotocol == "" {
		if len(offered) == 0 {
			return d, badRequest("the header %s is missing", spdy.HeaderProtocolVersion)
		}
		d.accepts = known
		return d, failure(http.StatusForbidden, metav1.StatusReasonForbidden,
			fmt.Sprintf("edge: none of the offered stream protocols is supported; edge speaks %s", strings.Join(known, ", ")))
	}
	d.name = "SPDY/3.1 " + d.subprotocol
	d.upstreamName = "SPDY/3.1 " + d.upstreamProtocol()
	return d, nil
}

// upstreamProtocol is the subprotocol that edge asks the API server for.
func (d dialect) upstreamProtocol() string {
	if d.target.verb == verbPortForward {
		return spdy.PortForwardV1
	}
	return ws.V4
}

// checkAnswer holds upstream's 101 against what was asked.
func (d dialect) checkAnswer(r *http.Request, resp *http.Response) error {
	h := resp.Header
	if !httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") {
		return errNotSwitched
	}
	if d.kind != opaque {
		if !hasToken(h["Upgrade"], spdy.Protocol) || h.Get(spdy.HeaderProtocolVersion) != d.upstreamProtocol() {
			return errNotSwitched
		}
		return nil
	}
	if !hasToken(h["Upgrade"], "websocket") || h.Get("Sec-Websocket-Accept") != acceptKey(r.Header.Get("Sec-Websocket-Key")) {
		return errNotSwitched
	}
	if chosen, ok := h["Sec-Websocket-Protocol"]; ok && (len(chosen) != 1 || !slices.Contains(subprotocols(r), chosen[0])) {
		return errNotSwitched
	}
	return nil
}

// accept answers the client's upgrade and takes its connection.
func (d dialect) accept(w http.ResponseWriter, r *http.Request, resp *http.Response) (net.Conn, error) {
	h := w.Header()
	switch d.kind {
	case wsExec, wsTunnel:
		return d.acceptWebSocket(w, r)
	case opaque:
		impersonate.StripHopByHop(resp.Header)
		maps.Copy(h, resp.Header)
		delete(h, "Content-Length") // a 101 has none
		h.Set("Upgrade", "websocket")
	default:
		h.Set("Upgrade", spdy.Protocol)
		h.Set(spdy.HeaderProtocolVersion, d.subprotocol)
	}
	h.Set("Connection", "Upgrade")
	return hijacked(w)
}

// webSocketBuffer is the size, in bytes, of gorilla's buffers, which live for
// the handshake only.
const webSocketBuffer = 512

func (d dialect) acceptWebSocket(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	upgrader := websocket.Upgrader{
		ReadBufferSize:  webSocketBuffer,
		WriteBufferSize: webSocketBuffer,
		CheckOrigin:     func(*http.Request) bool { return true }, // chooseDialect did
	}
	answer := http.Header{"Sec-Websocket-Protocol": {d.subprotocol}}
	c, err := upgrader.Upgrade(w, r, answer)
	if err != nil {
		return nil, err
	}
	return c.NetConn(), nil
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

func isChallengeKey(key string) bool {
	raw, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(raw) == 16
}

// acceptKey is RFC 6455 section 4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
