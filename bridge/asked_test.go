package bridge_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"

	"edge/bridge"
	"edge/impersonate"
	"edge/internal/testkit"
)

// ignored are requests whose Upgrade header has no meaning at their path or method. edge must treat
// them, with their bodies, as plain requests.
var ignored = map[string][]string{
	"h2c":                {"GET /version HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"},
	"TLS":                {"OPTIONS /version HTTP/1.1", "Connection: Upgrade", "Upgrade: TLS/1.0"},
	"several":            {"GET /version HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c, TLS/1.3", "Upgrade: connect-ip"},
	"nothing":            {"GET /version HTTP/1.1", "Connection: Upgrade", "Upgrade: "},
	"SPDY of kubectl":    {"GET /api/v1/namespaces/default/pods HTTP/1.1", "Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"},
	"SPDY on log":        {"POST /api/v1/namespaces/default/pods/web/log HTTP/1.1", "Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0"},
	"SPDY, a body":       {"POST /api/v1/namespaces/default/pods HTTP/1.1", "Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 5"},
	"SPDY, another API":  {"POST /apis/apps/v1/namespaces/proxy/deployments/exec HTTP/1.1", "Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0"},
	"SPDY/2 on a proxy":  {"POST " + proxyPath + " HTTP/1.1", "Connection: Upgrade", "Upgrade: SPDY/2", "Content-Length: 0"},
	"h2c on a proxy":     {"GET " + proxyPath + " HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c"},
	"no Connection":      {"GET /version HTTP/1.1", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="},
	"HTTP/1.0":           {"GET /version HTTP/1.0", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="},
	"WebSocket by POST":  {"POST /api/v1/namespaces/default/pods HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0", "Content-Length: 5"},
	"WebSocket, chunked": {"PUT /api/v1/namespaces/default/pods/web HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked"},
}

// bodyOf returns the body that a plain request with the header lines in ask must have: onWire as it
// is sent, for example in chunks, and body as a server decodes it.
func bodyOf(ask []string) (onWire, body string) {
	switch {
	case slices.Contains(ask, "Content-Length: 5"):
		return "hello", "hello"
	case slices.Contains(ask, "Transfer-Encoding: chunked"):
		return "5\r\nhello\r\n0\r\n\r\n", "hello"
	}
	return "", ""
}

// TestUpgradeIgnored checks that edge treats a request as plain where its Upgrade cannot apply (RFC
// 9110 section 7.8). The API server must see no Upgrade header, and the next request on the same
// connection must work too.
func TestUpgradeIgnored(t *testing.T) {
	t.Parallel()
	type plain struct {
		path, body string
		proto      int
		header     http.Header
	}
	seen := make(chan plain, 2)
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen <- plain{r.URL.Path, string(b), r.ProtoMajor, r.Header}
		io.WriteString(w, "plain")
	}))
	for name, ask := range ignored {
		t.Run(name, func(t *testing.T) {
			onWire, body := bodyOf(ask)
			c := dialRaw(t, w.edge)
			c.ask(onWire+"GET /second HTTP/1.1\r\nHost: e\r\n\r\n", append(slices.Clone(ask), "Host: e")...)
			resp := c.answer()
			if got, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(got) != "plain" {
				t.Errorf("the answer is %s: %s", resp.Status, got)
			}
			got := <-seen
			if want := strings.Fields(ask[0])[1]; got.path != want || got.body != body || got.proto != 2 {
				t.Errorf("upstream saw %s over HTTP/%d with the body %q", got.path, got.proto, got.body)
			}
			for name := range got.header {
				if name == "Upgrade" || name == "Connection" || name == "Http2-Settings" || strings.HasPrefix(name, "Sec-Websocket-") {
					t.Errorf("upstream saw %s: %q", name, got.header[name])
				}
			}
			if got.header.Get("Impersonate-User") != jane.Name {
				t.Errorf("upstream saw %v", got.header)
			}
			if strings.HasSuffix(ask[0], "1.0") {
				return
			}
			if resp := c.answer(); resp.StatusCode != http.StatusOK {
				t.Errorf("the second answer is %s", resp.Status)
			}
			if got := <-seen; got.path != "/second" {
				t.Errorf("upstream saw %s", got.path)
			}
		})
	}
}

// TestUnasked101 checks an API server that answers a plain request with 101. edge must answer 502,
// and must not relay later bytes of the client to that connection. This must hold for any Upgrade
// header of the request and any protocol that the 101 names.
func TestUnasked101(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"", "Upgrade: h2c\r\n", "Upgrade: SPDY/3.1\r\n", "Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"} {
		behind := make(chan string, len(ignored)+1)
		api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/second" {
				return
			}
			io.Copy(io.Discard, r.Body)
			conn, early := take(t, w)
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"+protocol+"\r\n")
			conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			b, _ := io.ReadAll(early)
			behind <- string(b)
		}))
		testkit.StartTLS(api) // with HTTP/1.1 only, as a proxy before an API server might have
		defer api.Close()
		w := &world{T: t, api: api, log: new(syncBuffer)}
		w.front(configFor(api))
		for name, ask := range ignored {
			onWire, _ := bodyOf(ask)
			c := dialRaw(t, w.edge)
			c.ask(onWire+"GET /second HTTP/1.1\r\nHost: e\r\n\r\n", append(slices.Clone(ask), "Host: e")...)
			if resp := c.answer(); resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%s, %q: the answer is %s", name, protocol, resp.Status)
			}
			if b := <-behind; b != "" {
				t.Errorf("%s, %q: upstream got %q", name, protocol, b)
			}
			c.Close()
		}
	}
}

// spdyPaths are paths on which edge relays SPDY without parsing it. Before it relays, edge requests
// an access review of the verb create for the resource in the value. "" means that edge requests no
// review and leaves the decision to the API server.
var spdyPaths = map[string]string{
	proxyPath: "",
	"/api/v1/nodes/n1/proxy/exec/d/p/c?command=true":                                           "nodes n1",
	"/api/v1/nodes/n1/proxy/portForward/d/p":                                                   "nodes n1",
	"/api/v1/nodes/n1/proxy/other":                                                             "",
	"/api/v1/namespaces/default/pods/https:p:10250/proxy/run/d/p/c":                            "pods https:p:10250",
	"/api/v1/namespaces/default/services/https:kube:443/proxy/api/v1/namespaces/d/pods/p/exec": "",
	"/apis/cluster.karmada.io/v1alpha1/clusters/m1/proxy/api/v1/namespaces/d/pods/p/exec":      "",
	"/apis/cluster.karmada.io/v1alpha1/clusters/m1/proxy":                                      "",
	"/apis/box.example/v1/namespaces/d/boxes/b/portforward":                                    "",
}

// TestPassedSPDY checks SPDY requests that go through an API server proxy or to an aggregated API.
// After the API server's own 101, edge relays their bytes without parsing them. The client's method
// and all protocols that it offers must reach the API server.
func TestPassedSPDY(t *testing.T) {
	t.Parallel()
	for path, reviewed := range spdyPaths {
		for _, method := range []string{"POST", "GET"} {
			for _, chosen := range []string{"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n", ""} {
				asked := make(chan *http.Request, 1)
				var reviews []string
				w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked <- r
					conn, early := take(t, w)
					defer conn.Close()
					io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-App: 1\r\n"+chosen+"\r\nhello")
					io.Copy(conn, early)
				}), func(c *bridge.Config) {
					c.Review = func(_ context.Context, _ impersonate.Identity, at authorizationv1.ResourceAttributes) error {
						reviews = append(reviews, fmt.Sprintf("%s %s/%s %s", at.Verb, at.Resource, at.Subresource, at.Name))
						return nil
					}
				})
				c := dialRaw(t, w.edge)
				ask := askSPDY(path, "v5.channel.k8s.io", "v4.channel.k8s.io")
				ask[0] = method + strings.TrimPrefix(ask[0], "POST")
				c.ask("early", append(ask, "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0")...)
				resp := c.answer()
				if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "SPDY/3.1" || resp.Header.Get("Connection") != "Upgrade" || resp.Header.Get("X-App") != "1" {
					t.Fatalf("%s %s: the answer is %s %v", method, path, resp.Status, resp.Header)
				}
				r := <-asked
				if r.Method != method || r.URL.String() != path || r.Header.Get("Impersonate-User") != jane.Name || len(r.Header["Sec-Websocket-Protocol"]) > 0 ||
					!slices.Equal(r.Header["X-Stream-Protocol-Version"], []string{"v5.channel.k8s.io", "v4.channel.k8s.io"}) {
					t.Errorf("upstream saw %s %s %v", r.Method, r.URL, r.Header)
				}
				b := make([]byte, len("helloearly"))
				if _, err := io.ReadFull(c, b); err != nil || string(b) != "helloearly" {
					t.Errorf("%s %s: %q, %v", method, path, b, err)
				}
				var want []string
				if resource, name, ok := strings.Cut(reviewed, " "); ok {
					want = []string{"create " + resource + "/proxy " + name}
				}
				if !slices.Equal(reviews, want) {
					t.Errorf("%s %s: %q was reviewed", method, path, reviews)
				}
				c.Close()
				if line := w.ended(1); !strings.Contains(line, `downstream="SPDY/3.1 opaque" upstream=opaque`) {
					t.Error(line)
				}
			}
		}
	}
}

// TestPassedSPDYNot101 checks an API server that does not switch to SPDY. Bytes that a client sends
// after its SPDY request must not reach the API server as they are: they could be a second request
// with a false identity. edge must not follow a redirect either.
func TestPassedSPDYNot101(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"200":            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		"302":            "HTTP/1.1 302 Found\r\nLocation: /api/v1/secrets\r\nContent-Length: 0\r\n\r\n",
		"403":            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
		"h2c":            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"websocket":      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
		"no Upgrade":     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
		"no Connection":  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n",
		"another choice": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9.channel.k8s.io\r\n\r\n",
	} {
		behind := make(chan string, 1)
		w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// After a refusal, edge parses the bytes in smuggled as the client's next request. It
			// must send that request upstream with jane's identity, without its Impersonate-User.
			if r.URL.Path == "/api/v1/secrets" {
				if user := r.Header.Get("Impersonate-User"); user != jane.Name {
					t.Errorf("%s: a request from %q", name, user)
				}
				return
			}
			conn, early := take(t, w)
			defer conn.Close()
			io.WriteString(conn, answer)
			conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			b, _ := io.ReadAll(early)
			behind <- string(b)
		}))
		c := dialRaw(t, w.edge)
		c.ask(smuggled, askSPDY(proxyPath, "v4.channel.k8s.io")...)
		if resp := c.answer(); resp.StatusCode == http.StatusSwitchingProtocols {
			t.Errorf("%s: the client got a 101", name)
		}
		if b := <-behind; b != "" {
			t.Errorf("%s: upstream got %q", name, b)
		}
		c.Close()
	}
}

// TestChallengeKeys checks that edge accepts any Sec-WebSocket-Key for exec and for port-forward
// over WebSocket channels, as API servers do for streams that their wsstream package serves.
func TestChallengeKeys(t *testing.T) {
	t.Parallel()
	api := &apiServer{run: func(*process) error { return nil }, forward: channelPorts, rest: echo}
	w := newWorld(t, api.start(t))
	for _, key := range []string{"dGhl", "x", "not base64 at all", "dGhlIHNhbXBsZSBub25jZSB0aGF0IGlzIHRvbyBsb25n"} {
		for _, dialect := range []string{"websocket v5", "websocket v4", "websocket base64", "ports"} {
			ask := slices.Clone(upgrades[dialect])
			for i, line := range ask {
				if strings.HasPrefix(line, "Sec-WebSocket-Key:") {
					ask[i] = "Sec-WebSocket-Key: " + key
				}
			}
			c := dialRaw(t, w.edge)
			c.ask("", ask...)
			if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Accept") != bridge.AcceptKey(key) {
				t.Errorf("%s, %q: the answer is %s %v", dialect, key, resp.Status, resp.Header)
			}
			c.Close()
		}
	}
}
