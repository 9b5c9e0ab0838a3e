package bridge

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"edge/streams/spdy"
	"edge/streams/ws"
)

// uplink is what edge speaks to the API server for one stream: the request's
// half before the 101, the upstream dialect after it.
type uplink struct {
	method   string
	protocol string   // the Upgrade token
	offers   []string // subprotocols, the best first
	key      string   // Sec-WebSocket-Key; "" for SPDY
	opaque   bool     // the client's own upgrade, with all that it asked for

	chosen string // the subprotocol that the 101 names
}

const webSocket = "websocket"

// spdyUplink is a POST whatever the client's method was, so that RBAC asks for
// create whatever the dialect and the API server's release.
func spdyUplink(d dialect) uplink {
	u := uplink{method: http.MethodPost, protocol: spdy.Protocol, offers: []string{ws.V4}}
	if d.target.verb == verbPortForward {
		u.offers = []string{spdy.PortForwardV1}
	}
	return u
}

// webSocketUplink is v5, or the tunnel. v4 cannot say the end of stdin, so it
// will do where there is no stdin; a server that knows v5 chooses that.
func webSocketUplink(d dialect) uplink {
	u := uplink{method: http.MethodGet, protocol: webSocket, offers: []string{ws.V5}, key: newKey()}
	switch {
	case d.target.verb == verbPortForward:
		u.offers = []string{ws.TunnelPortForward}
	case !d.set.Stdin:
		u.offers = []string{ws.V5, ws.V4}
	}
	return u
}

// opaqueUplink is what edge does not read: it keeps its method, and what it offers.
func opaqueUplink(r *http.Request, d dialect) uplink {
	if d.passed == spdy.Protocol {
		return uplink{method: r.Method, protocol: spdy.Protocol, opaque: true, offers: listHeader(r.Header.Values(spdy.HeaderProtocolVersion))}
	}
	return uplink{
		method: http.MethodGet, protocol: webSocket, opaque: true,
		offers: subprotocols(r), key: r.Header.Get("Sec-Websocket-Key"),
	}
}

func newKey() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// name is for the log.
func (u uplink) name() string {
	if u.opaque {
		return "opaque"
	}
	return u.protocol + " " + u.chosen
}

// ask puts the upgrade into the header of a request that goes upstream.
func (u uplink) ask(header http.Header) {
	header["Connection"] = []string{"Upgrade"}
	header["Upgrade"] = []string{u.protocol}
	if !u.opaque || u.key == "" {
		dropWebSocket(header)
	}
	if !u.opaque {
		delete(header, spdy.HeaderProtocolVersion)
		delete(header, "Origin") // edge has looked at it; the API server knows edge only
	}
	if u.key == "" {
		if len(u.offers) > 0 {
			header[spdy.HeaderProtocolVersion] = u.offers
		}
		return
	}
	header["Sec-Websocket-Key"] = []string{u.key}
	header["Sec-Websocket-Version"] = []string{webSocketVersion}
	if len(u.offers) > 0 { // upstream reads the first line only
		header["Sec-Websocket-Protocol"] = []string{strings.Join(u.offers, ", ")}
	}
}

// check holds upstream's 101 against what was asked.
func (u *uplink) check(answer http.Header) error {
	if !httpguts.HeaderValuesContainsToken(answer["Connection"], "upgrade") || !hasToken(answer["Upgrade"], u.protocol) {
		return errNotSwitched
	}
	chosen := answer[spdy.HeaderProtocolVersion]
	if u.opaque && u.key == "" && len(chosen) == 0 {
		return nil // some servers name none, or know of none
	}
	if u.key != "" {
		if answer.Get("Sec-Websocket-Accept") != acceptKey(u.key) {
			return errBegun
		}
		if chosen = answer["Sec-Websocket-Protocol"]; u.opaque && strings.Join(chosen, "") == "" {
			return nil // x/net writes an empty line where nothing was offered
		}
	}
	switch {
	case len(chosen) == 1 && slices.Contains(u.offers, chosen[0]):
		u.chosen = chosen[0]
		return nil
	case u.key != "":
		return errBegun
	}
	return errNotSwitched
}

var (
	errNotSwitched = errors.New("bridge: the 101 names another protocol")
	// errBegun is the same where the command may run already: over WebSocket it
	// starts with the 101, over SPDY only with the streams that the client opens.
	errBegun = fmt.Errorf("%w, and what it answers may have begun", errNotSwitched)
)
