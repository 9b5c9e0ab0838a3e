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

// listHeader returns the items of a header with one or more comma-separated lines.
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

// hasToken reports whether the header lines contain token. edge does not use the function of
// httpguts for this, because it does not find tokens that contain a slash, such as SPDY/3.1.
func hasToken(lines []string, token string) bool {
	return slices.ContainsFunc(listHeader(lines), func(item string) bool { return strings.EqualFold(item, token) })
}

// isChallengeKey reports whether key is a Sec-WebSocket-Key as RFC 6455 section 4.1 requires. API
// servers check this only for the tunnel (SPDY inside WebSocket), which they serve with
// gorilla/websocket. For other WebSockets they use Kubernetes' package wsstream, whose library
// (x/net) accepts any key.
func isChallengeKey(key string) bool {
	raw, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(raw) == 16
}

// AcceptKey computes Sec-WebSocket-Accept from Sec-WebSocket-Key (RFC 6455 section 4.2.2).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

const WebSocket = "websocket"

// dropWebSocket removes the headers of a WebSocket handshake. Sec-WebSocket-Protocol may carry a
// credential: a client can send its token as a subprotocol.
func dropWebSocket(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "Sec-Websocket-") {
			delete(h, name)
		}
	}
}
