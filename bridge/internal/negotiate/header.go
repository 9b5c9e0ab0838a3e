package negotiate

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

const webSocketVersion = "13" // RFC 6455 section 4.1

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

// AcceptKey is RFC 6455 section 4.2.2.
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

const WebSocket = "websocket"

// dropWebSocket takes off what only a WebSocket handshake has. A subprotocol may be
// a credential.
func dropWebSocket(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "Sec-Websocket-") {
			delete(h, name)
		}
	}
}
