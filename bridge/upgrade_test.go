package bridge_test

import (
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// proxyPath is the path of a WebSocket that edge relays without reading it.
const proxyPath = "/api/v1/namespaces/default/services/web:80/proxy/console"

// upgrades are the header lines of an upgrade request in each client dialect (protocol and
// subprotocol).
var upgrades = map[string][]string{
	"websocket base64": askWebSocket(execPath, "Sec-WebSocket-Protocol: v4.base64.channel.k8s.io"),
	"ports":            askWebSocket(forwardPath+"?ports=80", "Sec-WebSocket-Protocol: v4.channel.k8s.io"),
	"websocket v5":     askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io"),
	"websocket v4":     askWebSocket(execPath, "Sec-WebSocket-Protocol: v4.channel.k8s.io"),
	"spdy exec":        askSPDY(execPath, "v4.channel.k8s.io"),
	"tunnel":           askWebSocket(forwardPath, "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io"),
	"spdy forward":     askSPDY(forwardPath, "portforward.k8s.io"),
	"opaque":           askWebSocket(proxyPath),
}

// TestWebSocketHandshake checks which requests edge accepts as WebSocket handshakes, and the 101
// with which it answers.
func TestWebSocketHandshake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(*process) error { return nil }}).start(t))
	get := "GET " + execPath + " HTTP/1.1"
	tail := []string{"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	for name, test := range map[string]struct {
		ask    []string
		chosen string
	}{
		"client-go":       {askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io"), "v5.channel.k8s.io"},
		"Python":          {askWebSocket(execPath, "Sec-WebSocket-Protocol: v4.channel.k8s.io"), "v4.channel.k8s.io"},
		"v5 last":         {askWebSocket(execPath, "Sec-WebSocket-Protocol: v4.channel.k8s.io, v3.channel.k8s.io,v5.channel.k8s.io"), "v5.channel.k8s.io"},
		"several lines":   {askWebSocket(execPath, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: v4.channel.k8s.io"), "v4.channel.k8s.io"},
		"first choice":    {askWebSocket(execPath, "Sec-WebSocket-Protocol: base64.channel.k8s.io, v4.channel.k8s.io"), "base64.channel.k8s.io"},
		"lists, any case": {append([]string{get, "host: e", "connection: keep-alive, upgrade", "upgrade: WebSocket", "sec-websocket-protocol: v5.channel.k8s.io"}, tail...), "v5.channel.k8s.io"},
		"two Upgrades":    {append([]string{get, "Host: e", "Connection: Upgrade", "Upgrade: SPDY/3.1", "Upgrade: websocket", "Sec-WebSocket-Protocol: v5.channel.k8s.io"}, tail...), "v5.channel.k8s.io"},
		"same origin":     {askWebSocket(execPath, "Sec-WebSocket-Protocol: v4.channel.k8s.io", "Origin: https://edge.example"), "v4.channel.k8s.io"},
		"deflate offered": {askWebSocket(execPath, "Sec-WebSocket-Protocol: v4.channel.k8s.io", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"), "v4.channel.k8s.io"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, w.edge)
			c.ask("", test.ask...)
			resp := c.answer()
			want := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
				"Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, "Sec-Websocket-Protocol": {test.chosen}}
			resp.Header.Del("Date")
			if resp.StatusCode != http.StatusSwitchingProtocols || !reflect.DeepEqual(resp.Header, want) {
				t.Errorf("the answer is %s %v", resp.Status, resp.Header)
			}
			readFrames(c, false)
		})
	}
}

// TestUpgradeKinds is a row of the attack corpus in docs/security.md. It sends upgrades that are
// invalid on paths where an upgrade is possible. edge must answer 400 or 403 and forward nothing.
// TestUpgradeIgnored covers the paths where no upgrade is possible.
func TestUpgradeKinds(t *testing.T) {
	t.Parallel()
	api := &apiServer{run: func(*process) error { return nil }}
	w := newWorld(t, api.start(t))
	post := "POST " + execPath + " HTTP/1.1"
	replace := func(lines []string, from, to string) []string {
		return strings.Split(strings.Replace(strings.Join(lines, "\n"), from, to, 1), "\n")
	}
	webSocket := askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io")
	spdy := askSPDY(execPath, "v4.channel.k8s.io")
	for name, test := range map[string]struct {
		ask  []string
		body string
		code int
	}{
		"h2c on exec":            {[]string{post, "Host: e", "Connection: Upgrade", "Upgrade: h2c"}, "", 400},
		"TLS/1.0 on exec":        {[]string{post, "Host: e", "Connection: Upgrade", "Upgrade: TLS/1.0"}, "", 400},
		"nothing":                {[]string{post, "Host: e", "Connection: Upgrade", "Upgrade: "}, "", 400},
		"SPDY on proxy, a body":  {replace(askSPDY(proxyPath, "v4.channel.k8s.io"), "Content-Length: 0", "Content-Length: 5"), "hello", 400},
		"SPDY on proxy, by PUT":  {replace(askSPDY(proxyPath, "v4.channel.k8s.io"), "POST", "PUT"), "", 400},
		"WebSocket, proxy, POST": {replace(askWebSocket(proxyPath), "GET", "POST"), "", 400},
		"SPDY on //":             {askSPDY("//api/v1/namespaces/default/pods/web/exec", "v4.channel.k8s.io"), "", 400},
		"SPDY on %2e":            {askSPDY("/api/v1/namespaces/default/pods/%2e%2e/exec", "v4.channel.k8s.io"), "", 400},
		"SPDY by PUT":            {replace(spdy, "POST", "PUT"), "", 400},
		"SPDY/2":                 {replace(spdy, "SPDY/3.1", "SPDY/2"), "", 400},
		"no Connection":          {replace(spdy, "Connection: Upgrade", "Connection: keep-alive"), "", 400},
		"a body":                 {replace(spdy, "Content-Length: 0", "Content-Length: 5"), "hello", 400},
		"a chunked body":         {replace(spdy, "Content-Length: 0", "Transfer-Encoding: chunked"), "5\r\nhello\r\n0\r\n\r\n", 400},
		"WebSocket with a body":  {slices.Concat(webSocket, []string{"Content-Length: 5"}), "hello", 400},
		"WebSocket by POST":      {replace(webSocket, "GET", "POST"), "", 400},
		"WebSocket 8":            {replace(webSocket, "Version: 13", "Version: 8"), "", 400},
		"WebSocket without key":  {replace(webSocket, "Key:", "Kex:"), "", 400},
		"WebSocket, empty key":   {replace(webSocket, "dGhlIHNhbXBsZSBub25jZQ==", ""), "", 400},
		"tunnel, short key":      {replace(upgrades["tunnel"], "dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), "", 400},
		"WebSocket, two keys":    {slices.Concat(webSocket, []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}), "", 400},
		"HTTP/1.0":               {replace(webSocket, "HTTP/1.1", "HTTP/1.0"), "", 400},
		"another origin":         {slices.Concat(webSocket, []string{"Origin: https://evil.example"}), "", 403},
		"null origin":            {slices.Concat(webSocket, []string{"Origin: null"}), "", 403},
		"two origins":            {slices.Concat(webSocket, []string{"Origin: https://edge.example", "Origin: https://edge.example"}), "", 403},
		"another origin, opaque": {askWebSocket(proxyPath, "Origin: https://evil.example"), "", 403},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, w.edge)
			c.ask(test.body, test.ask...)
			resp := c.answer()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != test.code || !strings.Contains(string(body), `"kind":"Status"`) {
				t.Errorf("the answer is %s: %s", resp.Status, body)
			}
			if seen := api.requests(); len(seen) > 0 {
				t.Fatalf("upstream saw %s %s", seen[0].Method, seen[0].URL)
			}
		})
	}
}

// TestUpgradeHTTP2 checks that edge answers 400 to a stream request over HTTP/2, which has no
// Upgrade.
func TestUpgradeHTTP2(t *testing.T) {
	t.Parallel()
	api := &apiServer{}
	w := newWorld(t, api.start(t))
	client := w.client(t, true)
	req := must(http.NewRequest(http.MethodPost, w.edge.URL+execPath, nil))
	req.Header = http.Header{"Upgrade": {"SPDY/3.1"}, "X-Stream-Protocol-Version": {"v4.channel.k8s.io"}}
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("the answer is %s", resp.Status)
		}
	}
	if seen := api.requests(); len(seen) > 0 {
		t.Errorf("upstream saw %s", seen[0].URL)
	}
}
