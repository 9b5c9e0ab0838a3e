package bridge_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"edge/bridge"
)

// proxyPath is a WebSocket that edge relays without reading it.
const proxyPath = "/api/v1/namespaces/default/services/web:80/proxy/console"

// upgrades are the requests of every downstream dialect.
var upgrades = map[string][]string{
	"websocket v5": askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io"),
	"websocket v4": askWebSocket(execPath, "Sec-WebSocket-Protocol: v4.channel.k8s.io"),
	"spdy exec":    askSPDY(execPath, "v4.channel.k8s.io"),
	"tunnel":       askWebSocket(forwardPath, "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io"),
	"spdy forward": askSPDY(forwardPath, "portforward.k8s.io"),
	"opaque":       askWebSocket(proxyPath),
}

// smuggled is what a client sends behind its request: a request of its own that
// claims to be somebody.
const smuggled = "GET /api/v1/secrets HTTP/1.1\r\nHost: e\r\nImpersonate-User: admin\r\nConnection: close\r\n\r\n"

// TestRefusal: an answer other than 101 reaches the client as it is, status,
// header and body; it is the only answer, and redirects are the client's.
func TestRefusal(t *testing.T) {
	var followed atomic.Int32
	elsewhere := serveTLS(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	long := strings.Repeat("long ", 50_000)
	for name, refusal := range map[string]struct {
		code   int
		header http.Header
		body   string
	}{
		"403": {403, http.Header{"Content-Type": {"application/json"}, "Audit-Id": {"1"}, "Warning": {`299 - "a"`, `299 - "b"`}},
			`{"kind":"Status","status":"Failure","message":"pods \"web\" is forbidden: User \"jane\" cannot create resource \"pods/exec\"","reason":"Forbidden","code":403}`},
		"403, empty": {403, http.Header{"Content-Length": {"0"}}, ""},
		"404":        {404, http.Header{"Content-Type": {"text/plain"}}, "not here"},
		"429":        {429, http.Header{"Retry-After": {"7"}, "X-Kubernetes-Pf-Flowschema-Uid": {"u"}}, "slow down"},
		"500":        {500, http.Header{"Content-Type": {"text/plain"}}, long},
		"302":        {302, http.Header{"Location": {elsewhere.URL + "/"}}, "moved"},
		"307":        {307, http.Header{"Location": {elsewhere.URL + "/"}}, ""},
		"200":        {200, http.Header{"Content-Type": {"text/html"}}, "<html>"},
		"426":        {426, http.Header{"Upgrade": {"h2c"}, "Connection": {"Upgrade, X-Hop"}, "X-Hop": {"1"}}, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			refuse := func(w http.ResponseWriter, _ *http.Request) {
				for name, values := range refusal.header {
					w.Header()[name] = values
				}
				w.WriteHeader(refusal.code)
				io.WriteString(w, refusal.body)
			}
			api := &apiServer{refuse: refuse, rest: refuse}
			w := newWorld(t, api.start(t))
			for dialect, ask := range upgrades {
				before := len(api.requests())
				c := dialRaw(t, w.edge)
				c.ask("\x80\x03\x00\x01 no request", ask...)
				resp := c.answer()
				body, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != refusal.code || string(body) != refusal.body {
					t.Errorf("%s: %s, %d bytes of body, %v", dialect, resp.Status, len(body), err)
				}
				for name, want := range refusal.header {
					if name == "Upgrade" || name == "X-Hop" || name == "Connection" {
						want = nil
					}
					if got := resp.Header[name]; !reflect.DeepEqual(got, want) && !(name == "Connection" && resp.Close) {
						t.Errorf("%s: %s is %q", dialect, name, got)
					}
				}
				if seen := len(api.requests()) - before; seen != 1 {
					t.Errorf("%s: %d requests upstream", dialect, seen)
				}
				c.Close()
			}
		})
	}
	if n := followed.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// TestNon101 is the row of the attack corpus: whatever upstream answers that is
// not the 101 that was asked for, nothing that the client sent behind its request
// reaches upstream but as a request of its own, from who it is.
func TestNon101(t *testing.T) {
	const switching = "HTTP/1.1 101 Switching Protocols\r\n"
	answers := map[string]struct {
		answer string
		only   string // the kind of dialect that it is wrong for; "": all
	}{
		"200":                               {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ""},
		"200, no length":                    {"HTTP/1.1 200 OK\r\n\r\nok", ""},
		"302":                               {"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", ""},
		"403":                               {"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", ""},
		"403, Upgrade":                      {"HTTP/1.1 403 Forbidden\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 2\r\n\r\nno", ""},
		"101 of nothing":                    {switching + "\r\n", ""},
		"101 of h2c":                        {switching + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", ""},
		"no Connection":                     {switching + "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n", ""},
		"no Upgrade":                        {switching + "Connection: Upgrade\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n", ""},
		"another subprotocol":               {accepted("v3.channel.k8s.io"), ""},
		"no subprotocol":                    {switching + "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n", ""},
		"websocket for SPDY":                {switching + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", "translated"},
		"another key":                       {switching + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", "opaque"},
		"a subprotocol that nobody offered": {switching + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n", "opaque"},
	}
	for name, test := range answers {
		t.Run(name, func(t *testing.T) {
			type arrival struct {
				user, behind string
				first        bool
			}
			arrivals := make(chan arrival, 100)
			w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first := r.URL.Path != "/api/v1/secrets"
				if !first {
					arrivals <- arrival{user: r.Header.Get("Impersonate-User")}
					return
				}
				conn, early := take(t, w)
				defer conn.Close()
				io.WriteString(conn, test.answer)
				conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				behind, _ := io.ReadAll(early)
				arrivals <- arrival{r.Header.Get("Impersonate-User"), string(behind), true}
			}))
			for dialect, ask := range upgrades {
				if test.only != "" && (test.only == "opaque") != (dialect == "opaque") {
					continue
				}
				c := dialRaw(t, w.edge)
				c.ask(smuggled, ask...)
				resp := c.answer()
				if resp.StatusCode == http.StatusSwitchingProtocols {
					t.Errorf("%s: the client got a 101", dialect)
				}
				if strings.HasPrefix(test.answer, switching) {
					body, _ := io.ReadAll(resp.Body)
					if resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(body), `"kind":"Status"`) {
						t.Errorf("%s: the client got %s: %s", dialect, resp.Status, body)
					}
				}
				for a := (arrival{}); !a.first; {
					a = <-arrivals
					if a.user != jane.Name || a.behind != "" {
						t.Errorf("%s: %q reached upstream, from %q", dialect, a.behind, a.user)
					}
				}
				c.Close()
			}
		})
	}
}

// TestWebSocketHandshake: the 101 that edge answers, and what it takes for a
// WebSocket.
func TestWebSocketHandshake(t *testing.T) {
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
		"several lines":   {askWebSocket(execPath, "Sec-WebSocket-Protocol: channel.k8s.io", "Sec-WebSocket-Protocol: v4.channel.k8s.io"), "v4.channel.k8s.io"},
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

// TestUpgradeKinds is the row of the attack corpus: what is no stream of ours
// and no WebSocket gets a 400 or a 403, and nothing goes upstream.
func TestUpgradeKinds(t *testing.T) {
	api := &apiServer{run: func(*process) error { return nil }}
	w := newWorld(t, api.start(t))
	post := "POST " + execPath + " HTTP/1.1"
	replace := func(lines []string, old, new string) []string {
		return strings.Split(strings.Replace(strings.Join(lines, "\n"), old, new, 1), "\n")
	}
	webSocket := askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io")
	spdy := askSPDY(execPath, "v4.channel.k8s.io")
	for name, test := range map[string]struct {
		ask  []string
		body string
		code int
	}{
		"h2c":                    {[]string{"GET /version HTTP/1.1", "Host: e", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"}, "", 400},
		"h2c on exec":            {[]string{post, "Host: e", "Connection: Upgrade", "Upgrade: h2c"}, "", 400},
		"TLS/1.0":                {[]string{"OPTIONS /version HTTP/1.1", "Host: e", "Connection: Upgrade", "Upgrade: TLS/1.0"}, "", 400},
		"nothing":                {[]string{post, "Host: e", "Connection: Upgrade", "Upgrade: "}, "", 400},
		"SPDY on log":            {askSPDY("/api/v1/namespaces/default/pods/web/log", "v4.channel.k8s.io"), "", 400},
		"SPDY on version":        {askSPDY("/version", "v4.channel.k8s.io"), "", 400},
		"SPDY on proxy":          {askSPDY(proxyPath, "v4.channel.k8s.io"), "", 400},
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
		"WebSocket, short key":   {replace(webSocket, "dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), "", 400},
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

// TestUpgradeHTTP2: HTTP/2 has no Upgrade, and its clients no way to send one.
func TestUpgradeHTTP2(t *testing.T) {
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

// echo is a WebSocket server that sends back what it gets.
func echo(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"b", "c"}, EnableCompression: true}
	c, err := upgrader.Upgrade(w, r, http.Header{"Set-Cookie": {"console=1"}})
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, b, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(kind, b); err != nil {
			return
		}
	}
}

// TestOpaqueWebSocket: any other WebSocket passes as it is after upstream's own
// 101: its subprotocol, extensions, text, fragments, pings and close.
func TestOpaqueWebSocket(t *testing.T) {
	api := &apiServer{rest: echo}
	w := newWorld(t, api.start(t))
	for _, s := range []*httptest.Server{w.api, w.edge} {
		d := websocket.Dialer{TLSClientConfig: tlsFor(s), Subprotocols: []string{"a", "b"}, EnableCompression: true}
		header := http.Header{"Cookie": {"session=1"}, "X-Console": {"yes"}}
		c, resp, err := d.Dial("wss://"+s.Listener.Addr().String()+proxyPath+"?a=%20b&c", header)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		if c.Subprotocol() != "b" || !strings.Contains(resp.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate") ||
			resp.Header.Get("Set-Cookie") != "console=1" {
			t.Errorf("the answer's header is %v", resp.Header)
		}
		for _, say := range []string{"hello", "", noise(300_000)} {
			if err := c.WriteMessage(websocket.BinaryMessage, []byte(say)); err != nil {
				t.Fatal(err)
			}
			if _, b, err := c.ReadMessage(); err != nil || string(b) != say {
				t.Errorf("%d bytes came back as %d, %v", len(say), len(b), err)
			}
		}
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "done"), time.Now().Add(patience))
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 4001) {
			t.Errorf("the close is answered by %v", err)
		}
		c.Close()
	}
	direct, edge := api.requests()[0], api.requests()[1]
	if edge.URL.String() != direct.URL.String() || edge.Header.Get("X-Console") != "yes" {
		t.Errorf("upstream saw %s %v", edge.URL, edge.Header)
	}
	if line := w.ended(1); !strings.Contains(line, `downstream="websocket opaque"`) {
		t.Error(line)
	}
}

// TestOpaqueSubprotocols: upstream reads the first line only, so there is one.
func TestOpaqueSubprotocols(t *testing.T) {
	api := &apiServer{rest: echo}
	w := newWorld(t, api.start(t))
	c := dialRaw(t, w.edge)
	c.ask("", askWebSocket(proxyPath, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b , c")...)
	if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Protocol") != "b" {
		t.Errorf("the answer is %s %v", resp.Status, resp.Header)
	}
	if got := api.requests()[0].Header["Sec-Websocket-Protocol"]; !reflect.DeepEqual(got, []string{"a, b, c"}) {
		t.Errorf("upstream was offered %q", got)
	}
}

// TestOpaqueEnds: what either side says last arrives, and its end ends both.
func TestOpaqueEnds(t *testing.T) {
	serverGone := make(chan error, 1)
	last := strings.Repeat("last words ", 100_000)
	w := newWorld(t, (&apiServer{rest: func(w http.ResponseWriter, r *http.Request) {
		c := must((&websocket.Upgrader{}).Upgrade(w, r, nil))
		defer c.Close()
		if r.URL.Query().Has("server") {
			c.WriteMessage(websocket.TextMessage, []byte(last))
			return
		}
		_, b, err := c.ReadMessage()
		if string(b) != last {
			err = fmt.Errorf("got %d bytes: %v", len(b), err)
		}
		c.ReadMessage()
		serverGone <- err
	}}).start(t))
	c := w.webSocket(t, proxyPath+"?server")
	if _, b, err := c.ReadMessage(); string(b) != last {
		t.Errorf("the client got %d bytes, %v", len(b), err)
	}
	if _, _, err := c.ReadMessage(); err == nil {
		t.Error("the client's connection does not end")
	}
	c.Close()
	c = w.webSocket(t, proxyPath+"?client")
	c.WriteMessage(websocket.TextMessage, []byte(last))
	c.Close()
	if err := <-serverGone; err != nil {
		t.Error(err)
	}
	w.ended(2)
}

// TestNoHijack: a connection that cannot be taken over costs neither its slot
// nor upstream's connection.
func TestNoHijack(t *testing.T) {
	ended := make(chan error, 1)
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, early := take(t, w)
		defer conn.Close()
		io.WriteString(conn, accepted(r.Header.Get("X-Stream-Protocol-Version")))
		b, err := io.ReadAll(early)
		if len(b) > 0 {
			err = fmt.Errorf("%q came", b)
		}
		ended <- err
	}), func(c *bridge.Config) { c.MaxSessions = 1 })
	for dialect, ask := range upgrades {
		if dialect == "opaque" {
			continue // upstream's answer here is no WebSocket's
		}
		r := must(http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(ask, "\r\n") + "\r\n\r\n"))))
		r.RemoteAddr = "127.0.0.1:1"
		answer := httptest.NewRecorder()
		w.handler.ServeHTTP(answer, r)
		if answer.Code == http.StatusTooManyRequests {
			t.Errorf("%s: the slot of the session before it is not free", dialect)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: upstream: %v", dialect, err)
		}
	}
}

// TestFreshConnections: a stream never begins on a connection that has had a
// refusal before, which the API server may be about to close.
func TestFreshConnections(t *testing.T) {
	api := &apiServer{refuse: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }}
	w := newWorld(t, api.start(t))
	for range 3 {
		c := dialRaw(t, w.edge)
		c.ask("", upgrades["spdy exec"]...)
		c.answer()
	}
	seen := map[string]bool{}
	for _, r := range api.requests() {
		seen[r.RemoteAddr] = true
	}
	if len(seen) != 3 {
		t.Errorf("3 upgrades over %d connections", len(seen))
	}
}
