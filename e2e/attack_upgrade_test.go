package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// smuggled is what a client sends directly after an upgrade request: another request with forged
// impersonation headers.
const smuggled = "GET /api/v1/secrets?smuggled HTTP/1.1\r\nHost: e\r\nImpersonate-User: admin\r\nImpersonate-Group: system:masters\r\n\r\n"

// TestUpgradeKinds checks upgrade requests on a streaming path that are neither a valid WebSocket
// nor a valid SPDY upgrade. edge must answer 400 and must not open a tunnel.
func TestUpgradeKinds(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	webSocket := askWebSocket("v5.channel.k8s.io")
	without := func(lines []string, prefix string) []string {
		return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, prefix) })
	}
	with := func(lines []string, prefix, line string) []string { return append(without(lines, prefix), line) }
	const proxied = podsURI + "/shell/proxy/"
	for name, c := range map[string]struct {
		method, uri string
		lines       []string
		body        string
	}{
		"h2c on exec":               {"POST", execURI, []string{"Connection: Upgrade", "Upgrade: h2c", "Content-Length: 0"}, ""},
		"TLS/1.0 on exec":           {"POST", execURI, []string{"Connection: Upgrade", "Upgrade: TLS/1.0", "Content-Length: 0"}, ""},
		"nothing":                   {"POST", execURI, []string{"Connection: Upgrade", "Upgrade: ", "Content-Length: 0"}, ""},
		"SPDY on an odd path":       {"POST", "/" + execURI, askSPDY, ""},
		"SPDY on an escaped path":   {"POST", strings.Replace(execURI, "exec?", "%65xec?", 1), askSPDY, ""},
		"SPDY/2":                    {"POST", execURI, with(askSPDY, "Upgrade:", "Upgrade: SPDY/2"), ""},
		"SPDY by PUT":               {"PUT", execURI, askSPDY, ""},
		"SPDY without Connection":   {"POST", execURI, without(askSPDY, "Connection:"), ""},
		"SPDY with a body":          {"POST", execURI, with(askSPDY, "Content-Length:", fmt.Sprintf("Content-Length: %d", len(smuggled))), smuggled},
		"SPDY with chunks":          {"POST", execURI, with(askSPDY, "Content-Length:", "Transfer-Encoding: chunked"), "5\r\nhello\r\n0\r\n\r\n"},
		"WebSocket with a body":     {"GET", execURI, append(webSocket, fmt.Sprintf("Content-Length: %d", len(smuggled))), smuggled},
		"WebSocket with chunks":     {"GET", execURI, append(webSocket, "Transfer-Encoding: chunked"), "5\r\nhello\r\n0\r\n\r\n"},
		"WebSocket by POST":         {"POST", execURI, webSocket, ""},
		"WebSocket 8":               {"GET", execURI, with(webSocket, "Sec-WebSocket-Version:", "Sec-WebSocket-Version: 8"), ""},
		"WebSocket without a key":   {"GET", execURI, without(webSocket, "Sec-WebSocket-Key:"), ""},
		"WebSocket with two":        {"GET", execURI, append(webSocket, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), ""},
		"WebSocket, odd path":       {"GET", "/" + execURI, webSocket, ""},
		"WebSocket, body, proxied":  {"GET", proxied, append(webSocket, "Content-Length: 5"), "hello"},
		"WebSocket and no Upgrade:": {"GET", execURI, with(webSocket, "Connection:", "Connection: keep-alive"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			to := a.as(tokens["alice"])
			conn := dial(t.Context(), t, to, "", "http/1.1")
			defer conn.Close()
			lines := append(slices.Clone(c.lines), "", c.body)
			lines[len(lines)-2] = "X-Last: 1\r\n\r\n" + c.body
			got := exchange(t, conn, to, c.method, c.uri, lines[:len(lines)-1]...)
			if got.code != http.StatusBadRequest || got.status().Code != http.StatusBadRequest {
				t.Errorf("%v, want 400 with a Status", got)
			}
			a.nothing(t, name)
		})
	}
}

// clusterURI is the path of an exec in another cluster, which an aggregated API (karmada) forwards.
const clusterURI = "/apis/cluster.karmada.io/v1alpha1/clusters/m1/proxy" + execURI

// TestUpgradeIgnored checks that edge treats a request as a plain request if its Upgrade header has
// no effect. The response is the API server's own, the next request on the connection works,
// nothing is tunnelled, and no Upgrade header reaches the API server.
func TestUpgradeIgnored(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	own := sites[cluster.New].ownAccess(t, "alice", "dev")
	h2c := []string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"}
	spdy := []string{"Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"}
	const version, ours = "/version", podsURI + "?limit=1"
	for name, c := range map[string]struct {
		method, uri string
		lines       []string
	}{
		"h2c":               {"GET", version, h2c},
		"h2c on a list":     {"GET", ours, h2c},
		"TLS/1.0":           {"OPTIONS", version, []string{"Connection: Upgrade", "Upgrade: TLS/1.0"}},
		"connect-ip":        {"GET", version, []string{"Connection: Upgrade", "Upgrade: connect-ip"}},
		"SPDY of kubectl":   {"GET", ours, spdy},
		"SPDY on version":   {"POST", version, askSPDY},
		"SPDY on log":       {"POST", podsURI + "/shell/log", askSPDY},
		"WebSocket by POST": {"POST", version, append(askWebSocket("chat"), "Content-Length: 0")},
		"no Connection":     {"GET", version, []string{"Upgrade: websocket"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := raw(t.Context(), t, own, c.method, c.uri, append(c.lines, askJSON)...)
			before := len(a.requests())
			to := a.as(tokens["alice"])
			conn := dial(t.Context(), t, to, "", "http/1.1")
			defer conn.Close()
			got := exchange(t, conn, to, c.method, c.uri, append(c.lines, askJSON)...)
			if got.code != want.code || got.status().Reason != want.status().Reason || want.code == http.StatusSwitchingProtocols {
				t.Errorf("%v, want the same as from the API server itself: %v", got, want)
			}
			if next := exchange(t, conn, to, "GET", version, askJSON); next.code != http.StatusOK {
				t.Errorf("the next request on the connection: %v", next)
			}
			for _, head := range a.requests()[before:] {
				for _, name := range []string{"Upgrade", "Http2-Settings", "Sec-Websocket-Key", "Sec-Websocket-Protocol"} {
					if v, ok := head.Header[name]; ok {
						t.Errorf("upstream saw %s: %q", name, v)
					}
				}
			}
		})
	}
}

// TestChallengeKeys checks Sec-WebSocket-Key headers of unusual length. edge must accept and refuse
// the same keys as the API server.
func TestChallengeKeys(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		a := attack(t, s.cluster.Kind)
		own := s.ownAccess(t, "alice", "dev")
		for _, d := range []struct{ uri, offer string }{
			{execURI, "v5.channel.k8s.io"}, {execURI, "v4.channel.k8s.io"}, {execURI, "base64.channel.k8s.io"},
			{portForwardURI + "?ports=9000", "v4.channel.k8s.io"}, {portForwardURI, "SPDY/3.1+portforward.k8s.io"},
			{podsURI + "?watch=true", "chat"},
		} {
			if s.cluster.Kind == cluster.Old && (strings.HasPrefix(d.offer, "v5") || strings.HasPrefix(d.offer, "SPDY")) {
				continue // skip: the old cluster supports neither WebSocket v5 nor tunnelled SPDY
			}
			for _, key := range []string{"dGhl", "x", "dGhlIHNhbXBsZSBub25jZSB0aGF0IGlzIGxvbmc=", ""} {
				lines := slices.Clone(askWebSocket(d.offer))
				for i, line := range lines {
					if strings.HasPrefix(line, "Sec-WebSocket-Key:") {
						lines[i] = "Sec-WebSocket-Key: " + key
					}
				}
				want := raw(t.Context(), t, own, "GET", d.uri, append(lines, "Origin: "+own.Server)...)
				got := raw(t.Context(), t, a.as(tokens["alice"]), "GET", d.uri, append(lines, "Origin: "+a.URL)...)
				accept := func(a answer) string { return a.header.Get("Sec-Websocket-Accept") }
				if (got.code == http.StatusSwitchingProtocols) != (want.code == http.StatusSwitchingProtocols) || accept(got) != accept(want) {
					t.Errorf("%.60s, %s, key %q: %v %s, want the same as from the API server itself: %v %s", d.uri, d.offer, key, got, accept(got), want, accept(want))
				}
			}
		}
	})
}

// wrongAnswers are responses of an upstream, or of a proxy in front of the upstream, that do not
// correctly switch protocols.
var wrongAnswers = map[string]string{
	"200": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "204": "HTTP/1.1 204 No Content\r\n\r\n",
	"302":                   "HTTP/1.1 302 Found\r\nLocation: LOCATION\r\nContent-Length: 0\r\n\r\n",
	"307":                   "HTTP/1.1 307 Temporary Redirect\r\nLocation: LOCATION\r\nContent-Length: 0\r\n\r\n",
	"403":                   "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
	"500":                   "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno",
	"101 to h2c":            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
	"101 to nothing":        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
	"101, wrong accept":     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
	"101, wrong version":    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9.channel.k8s.io\r\n\r\n",
	"101, without Upgrade":  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
	"102, 103 and then 200": "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"nothing at all":        "",
	"no HTTP":               "hello\r\n\r\n",
}

// TestNon101 checks upgrades to an upstream that does not switch protocols as requested. The
// upstream must receive nothing that the client sent after its request. The client must not get a
// 101. edge must not follow a redirect.
func TestNon101(t *testing.T) {
	t.Parallel()
	elsewhere, followed := trap(t)
	for name, text := range wrongAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := startStubborn(t, strings.ReplaceAll(text, "LOCATION", elsewhere))
			edge := startEdge(t, testbed.EdgeOptions{Cluster: sites[cluster.New].cluster, Issuer: idp, Upstream: up.access})
			to := edge.Access(tokens["alice"])
			asked := 0
			for _, c := range []struct {
				name, method, uri string
				lines             []string
			}{
				{"exec over SPDY", "POST", execURI, askSPDY},
				{"exec over WebSocket v5", "GET", execURI, askWebSocket("v5.channel.k8s.io")},
				{"exec over WebSocket v4", "GET", execURI, askWebSocket("v4.channel.k8s.io")},
				{"port-forward over a tunnel", "GET", portForwardURI, askWebSocket("SPDY/3.1+portforward.k8s.io")},
				{"another WebSocket", "GET", podsURI + "/shell/proxy/", askWebSocket("chat")},
				{"SPDY by way of a proxy", "POST", podsURI + "/shell/proxy/", askSPDY},
				{"SPDY by way of another API", "POST", clusterURI, askSPDY},
				{"an Upgrade that means nothing", "GET", podsURI, []string{"Connection: Upgrade", "Upgrade: h2c"}},
			} {
				conn := dial(t.Context(), t, to, "", "http/1.1")
				lines := append(slices.Clone(c.lines), "X-Last: 1\r\n\r\n"+smuggled)
				resp, err := tryExchange(conn, to, c.method, c.uri, lines[:len(lines)-1]...)
				if err == nil {
					io.WriteString(conn, smuggled)
					if resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode < 200 {
						t.Errorf("%s: %s", c.name, resp.Status)
					}
				} else if text != "" && text[0] == 'H' {
					t.Errorf("%s: %v", c.name, err)
				}
				conn.Close()
				// Send the upgrade request once more, on a new connection, and the forged request
				// (the constant smuggled) in the same write.
				conn = dial(t.Context(), t, to, "", "http/1.1")
				if resp, err := tryExchange(conn, to, c.method, c.uri, lines...); err == nil && resp.StatusCode < 200 {
					t.Errorf("%s, in one write: %s", c.name, resp.Status)
				}
				conn.Close()
				// The client has sent two upgrade requests. The upstream must receive both as
				// upgrades, except upgrades to h2c: edge does not send their Upgrade header.
				if !strings.Contains(strings.Join(c.lines, "\n"), "h2c") {
					asked += 2
				}
			}
			if n := up.upgrades(); n != asked {
				t.Errorf("upstream received %d upgrades, want %d; otherwise this test proves nothing", n, asked)
			}
			if got := up.smuggled(); len(got) > 0 {
				t.Errorf("upstream read %q", got)
			}
		})
	}
	t.Cleanup(func() {
		if n := followed.Load(); n > 0 {
			t.Errorf("%d redirects were followed", n)
		}
	})
}

// TestCrossSiteWebSocket checks that a web page cannot open a WebSocket with a credential that the
// browser sends by itself, such as a client certificate, unless the page's origin is allowed. A
// token in addition to the client certificate must not change that. If the client has authenticated
// with a token alone, edge accepts any Origin.
func TestCrossSiteWebSocket(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New, "--client-ca-file="+sites[cluster.New].cluster.CAFile, "--allowed-origins=https://console.example.com,https://*.apps.example.com")
	byCertificate, byToken := a.asCertified(t, "alice", "dev"), a.as(tokens["alice"])
	dialects := map[string]struct{ uri, offer string }{
		"v5": {execURI, "v5.channel.k8s.io"}, "v4": {execURI, "v4.channel.k8s.io"}, "v4 base64": {execURI, "v4.base64.channel.k8s.io"},
		"tunnel": {portForwardURI, "SPDY/3.1+portforward.k8s.io"}, "port-forward": {portForwardURI + "?ports=8080", "v4.channel.k8s.io"},
		"watch": {podsURI + "?watch=true", "chat"}, "proxy": {podsURI + "/shell/proxy/", "chat"},
	}
	foreign := [][]string{
		{"null"}, {""}, {"https://evil.example"}, {"https://console.example.com.evil.example"}, {"https://evilconsole.example.com"},
		{"https://console.example.com:8443"}, {"http://console.example.com"}, {"https://apps.example.com"}, {"https://evil-apps.example.com"},
		{a.URL, "https://evil.example"}, {a.URL + ", https://evil.example"}, {"https://" + a.Addr + ".evil.example"}, {"file://"}, {"*"},
	}
	from := func(origins []string) (lines []string) {
		for _, origin := range origins {
			lines = append(lines, "Origin: "+origin)
		}
		return lines
	}
	const bearer = ", base64url.bearer.authorization.k8s.io."
	for name, d := range dialects {
		ask := askWebSocket(d.offer)
		for _, origins := range foreign {
			if got := raw(t.Context(), t, byCertificate, "GET", d.uri, append(ask, from(origins)...)...); got.code != http.StatusForbidden {
				t.Errorf("%s by certificate, %q: %v, want 403", name, origins, got)
			}
		}
		evil := from([]string{"https://evil.example"})
		for beside, lines := range map[string][]string{
			"a junk bearer in the subprotocol": askWebSocket(d.offer + bearer + base64url("junk")), "its own token in the subprotocol": askWebSocket(d.offer + bearer + base64url(tokens["alice"])),
			"a junk bearer": append(ask, "Authorization: Bearer junk"), "its own token": append(ask, "Authorization: Bearer "+tokens["alice"]),
		} {
			if got := raw(t.Context(), t, byCertificate, "GET", d.uri, append(lines, evil...)...); got.code != http.StatusForbidden {
				t.Errorf("%s by certificate, beside %s: %v, want 403", name, beside, got)
			}
		}
		a.nothing(t, name)
		if got := raw(t.Context(), t, byToken, "GET", d.uri, append(ask, evil...)...); got.code == http.StatusForbidden || len(a.requests()) == 0 {
			t.Errorf("%s by token from elsewhere: %v", name, got)
		}
		a.recorder.Forget()
	}
	for credential, to := range map[string]cluster.Access{"certificate": byCertificate, "token": byToken} {
		good := [][]string{nil, {a.URL}, {"https://console.example.com"}, {"https://CONSOLE.example.com:443"}, {"https://a.apps.example.com"}}
		if credential == "token" {
			good = append(good, foreign...)
			// edge accepts http://localhost too, because Kubernetes' own end-to-end tests send this
			// origin
			good = append(good, []string{"http://localhost"})
		}
		for _, origins := range good {
			if got := raw(t.Context(), t, to, "GET", execURI, append(askWebSocket("v5.channel.k8s.io"), from(origins)...)...); got.code != http.StatusSwitchingProtocols {
				t.Errorf("by %s, %q: %v, want 101", credential, origins, got)
			}
		}
	}
	inSubprotocol := append(askWebSocket("v5.channel.k8s.io"+bearer+base64url(tokens["alice"])), "Origin: https://evil.example")
	if got := raw(t.Context(), t, a.as(""), "GET", execURI, inSubprotocol...); got.code != http.StatusSwitchingProtocols {
		t.Errorf("by a token in the subprotocol: %v, want 101", got)
	}
}
