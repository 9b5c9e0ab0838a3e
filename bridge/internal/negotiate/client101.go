package negotiate

import (
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/streaming/pkg/httpstream"

	"edge/bridge/internal/leg"
	"edge/streams/spdy"
)

// Accept sends the 101 to the client and takes over the client's connection from net/http.
func (d Dialect) Accept(w http.ResponseWriter, r *http.Request, resp *http.Response) (net.Conn, error) {
	h := w.Header()
	switch d.Kind {
	// edge writes this 101 itself: no WebSocket library accepts every Sec-WebSocket-Key that API
	// servers accept.
	case WebSocketExec, WebSocketPorts, Tunnel:
		h.Set("Upgrade", WebSocket)
		h["Sec-WebSocket-Accept"] = []string{AcceptKey(r.Header.Get("Sec-Websocket-Key"))}
		if d.Subprotocol != "" {
			h["Sec-WebSocket-Protocol"] = []string{d.Subprotocol}
		}
	case Opaque:
		maps.Copy(h, resp.Header)
		delete(h, "Content-Length") // a 101 has no Content-Length
		h.Set("Upgrade", d.Passed)
	default:
		h.Set("Upgrade", spdy.Protocol)
		h.Set(httpstream.HeaderProtocolVersion, d.Subprotocol)
	}
	h.Set("Connection", "Upgrade")
	return Hijack(w)
}

// Hijack writes a 101 and takes over the client's connection from net/http. Reads from the returned
// connection begin with the bytes that the client sent before the 101.
func Hijack(w http.ResponseWriter) (net.Conn, error) {
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, err
	}
	n := rw.Reader.Buffered()
	if n == 0 {
		return conn, nil
	}
	early := make([]byte, n) // n is at most the size of net/http's buffer
	if _, err := io.ReadFull(rw.Reader, early); err != nil {
		conn.Close()
		return nil, err
	}
	return leg.NewReplayed(conn, io.MultiReader(strings.NewReader(string(early)), conn)), nil
}
