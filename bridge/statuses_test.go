package bridge_test

import (
	"io"
	"testing"

	"github.com/gorilla/websocket"

	"edge/bridge"
)

// TestUpstreamStatuses checks what edge accepts as a command's outcome at the end of WebSocket v5:
// only a complete Status in one message before the Close. If the API server sends several, the
// first one sent counts.
func TestUpstreamStatuses(t *testing.T) {
	t.Parallel()
	ok, bad := "\x03{\"status\":\"Success\"}", "\x03{\"status\":\"Failure\",\"message\":\"m\"}"
	frame := func(b0 byte, s string) string { return string([]byte{b0, byte(len(s))}) + s }
	for name, test := range map[string]struct {
		say     string
		success bool
	}{
		"fragmented with ping":         {frame(2, ok[:5]) + frame(0x89, "p") + frame(0x80, ok[5:]) + frame(0x88, "\x03\xe8"), true},
		"cut in fragments":             {frame(2, ok[:5]) + frame(0x88, "\x03\xe8"), false},
		"whole JSON, fragment open":    {frame(2, ok), false},
		"fragment open, then Close":    {frame(2, ok) + frame(0x88, "\x03\xe8"), false},
		"after Close":                  {frame(0x88, "\x03\xe8") + frame(0x82, ok), false},
		"Failure then Success":         {frame(0x82, bad) + frame(0x82, ok) + frame(0x88, "\x03\xe8"), false},
		"Success then Failure":         {frame(0x82, ok) + frame(0x82, bad) + frame(0x88, "\x03\xe8"), true},
		"Success then garbage":         {frame(0x82, ok) + "\xff\xff", true},
		"text frame":                   {frame(0x81, ok) + frame(0x88, "\x03\xe8"), true},
		"base64 text":                  {frame(0x81, "3eyJzdGF0dXMiOiJTdWNjZXNzIn0=") + frame(0x88, "\x03\xe8"), false},
		"Status in two messages":       {frame(0x82, ok[:10]) + frame(0x82, "\x03"+ok[10:]) + frame(0x88, "\x03\xe8"), false},
		"Success on stdout":            {frame(0x82, "\x01"+ok[1:]) + frame(0x88, "\x03\xe8"), false},
		"v1-like: nothing, Close 1000": {frame(0x88, "\x03\xe8"), false},
		"Close with bad code":          {frame(0x88, "\x00\x01"), false},
		"rsv":                          {frame(0xc2, ok), false},
	} {
		w := newWorld(t, playedWebSocket("v5.channel.k8s.io", func(c *websocket.Conn) { io.WriteString(c.NetConn(), test.say) }), speaking(bridge.StreamingWebSocket))
		for _, c := range execClients {
			got := c.do(t, w.edge, command{})
			if (got.err == nil) != test.success {
				t.Errorf("%s, %s: %v", name, c.name, got.err)
			}
		}
	}
}
