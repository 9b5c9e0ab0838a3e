package bridge_test

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"testing"

	"edge/bridge"
)

// TestCrossSiteWebSocket is a row of the attack corpus in docs/security.md. The browser here adds
// the credential by itself, such as a client certificate. A page of an origin that is not allowed
// must then not open a WebSocket in any dialect, and nothing may reach the API server. The origin
// "null" is never allowed. Only the credential that authenticated the request counts: an additional
// token changes nothing. If a bearer token authenticated the request, any Origin is allowed.
func TestCrossSiteWebSocket(t *testing.T) {
	t.Parallel()
	api := &apiServer{run: exit7, forward: channelPorts, rest: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }}
	var credential credentialKind
	w := newWorld(t, api.start(t), credential.use, func(cfg *bridge.Config) {
		cfg.AllowedOrigins = []string{"https://console.example.com", "https://*.apps.example.com"}
	})
	allowed := [][]string{
		nil, // no Origin: the client is no browser
		{"Origin: https://edge.example"},
		{"Origin: https://console.example.com"},
		{"Origin: https://CONSOLE.example.com:443"},
		{"Origin: https://a.apps.example.com"},
	}
	refused := [][]string{
		{"Origin: null"},
		{"Origin: "},
		{"Origin: https://evil.example"},
		{"Origin: https://console.example.com.evil.example"},
		{"Origin: https://evilconsole.example.com"},
		{"Origin: https://console.example.com:8443"},
		{"Origin: http://console.example.com"},
		{"Origin: https://apps.example.com"},
		{"Origin: https://evil-apps.example.com"},
		{"Origin: https://edge.example", "Origin: https://evil.example"},
		{"Origin: https://edge.example, https://evil.example"},
	}
	dialects := map[string][]string{
		"v5":           askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io"),
		"v4":           askWebSocket(execPath, "Sec-WebSocket-Protocol: v4.channel.k8s.io"),
		"v4 base64":    askWebSocket(execPath, "Sec-WebSocket-Protocol: v4.base64.channel.k8s.io"),
		"unnamed":      askWebSocket(execPath),
		"tunnel":       upgrades["tunnel"],
		"port-forward": askWebSocket(forwardPath+"?ports=80", "Sec-WebSocket-Protocol: v4.channel.k8s.io"),
		"opaque":       upgrades["opaque"],
	}
	for dialect, ask := range dialects {
		for _, origin := range refused {
			c := dialRaw(t, w.edge)
			c.ask("", slices.Concat(ask, origin)...)
			if resp := c.answer(); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s, %q: %s", dialect, origin, resp.Status)
			}
			c.Close()
		}
		for _, junk := range []string{"Authorization: Bearer junk", "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.anVuaw"} {
			c := dialRaw(t, w.edge)
			c.ask("", slices.Concat(ask, []string{"Origin: https://evil.example", junk})...)
			if resp := c.answer(); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s, with the ignored token %s: %s", dialect, junk, resp.Status)
			}
			c.Close()
		}
	}
	if seen := api.requests(); len(seen) > 0 {
		t.Fatalf("upstream saw %s", seen[0].URL)
	}
	sessions := 0
	for dialect, ask := range dialects {
		want := http.StatusSwitchingProtocols
		if dialect == "opaque" {
			want = http.StatusTeapot // the API server's own answer
		}
		for i, origin := range slices.Concat(allowed, refused) {
			credential.bearer.Store(i >= len(allowed))
			c := dialRaw(t, w.edge)
			c.ask("", slices.Concat(ask, origin)...)
			if resp := c.answer(); resp.StatusCode != want {
				t.Errorf("%s, %q: %s", dialect, origin, resp.Status)
			}
			c.Close()
			if want == http.StatusSwitchingProtocols {
				sessions++
				w.ended(sessions)
			}
		}
	}
}

// TestBeginsStream checks which requests edge treats as the beginning of a stream. Such a request
// requires the permission create, whatever its method and protocol.
func TestBeginsStream(t *testing.T) {
	t.Parallel()
	exec, nodes := askWebSocket(execPath), askWebSocket("/api/v1/nodes/n1/proxy/exec/default/web/c")
	for name, test := range map[string]struct {
		ask    []string
		begins bool
	}{
		"exec over WebSocket":            {exec, true},
		"exec over SPDY":                 {askSPDY(execPath, "v4.channel.k8s.io"), true},
		"port-forward":                   {askWebSocket(forwardPath), true},
		"exec by a node's proxy":         {nodes, true},
		"exec by a node's proxy, SPDY":   {askSPDY("/api/v1/nodes/n1/proxy/exec/default/web/c", "v4.channel.k8s.io"), true},
		"exec by a pod's proxy":          {askWebSocket("/api/v1/namespaces/default/pods/web:10250/proxy/exec/default/web/c"), true},
		"exec without an Upgrade":        {slices.Concat(exec[:2], exec[4:]), false},
		"a proxy's, without an Upgrade":  {slices.Concat(nodes[:2], nodes[4:]), false},
		"another page of a node's proxy": {askWebSocket("/api/v1/nodes/n1/proxy/logs/"), false},
		"a watch over WebSocket":         {askWebSocket("/api/v1/namespaces/default/pods?watch=true"), false},
		"a console of an aggregated API": {askWebSocket("/apis/vm.example.com/v1/namespaces/default/machines/m/exec"), false},
		"an application's own WebSocket": {askWebSocket(proxyPath), false},
	} {
		r := must(http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(test.ask, "\r\n") + "\r\n\r\n"))))
		if got := bridge.BeginsStream(r); got != test.begins {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestNodesProxyExec is a row of the attack corpus in docs/security.md. An exec through the API
// server's proxy to a kubelet or a pod is a GET, for which the API server only checks get. edge
// must treat it as an exec: it requests an access review of create first, for any method and
// protocol, and logs the pod's name.
func TestNodesProxyExec(t *testing.T) {
	t.Parallel()
	for path, asks := range map[string]string{
		"/api/v1/nodes/n1/proxy/exec/default/web/c?command=sh":                             "jane: create nodes/proxy /n1",
		"/api/v1/nodes/n1:10250/proxy/attach/default/web/c":                                "jane: create nodes/proxy /n1:10250",
		"/api/v1/nodes/https:n1:10250/proxy/exec/default/web/uid/c":                        "jane: create nodes/proxy /https:n1:10250",
		"/api/v1/nodes/n1/proxy/portForward/default/web?port=80":                           "jane: create nodes/proxy /n1",
		"/api/v1/namespaces/kube-system/pods/https:agent:10250/proxy/exec/default/web/c":   "jane: create pods/proxy kube-system/https:agent:10250",
		"/api/v1/namespaces/kube-system/pods/https:agent:10250/proxy/attach/default/web/c": "jane: create pods/proxy kube-system/https:agent:10250",
	} {
		t.Run(path, func(t *testing.T) {
			v := &reviews{deny: forbidden}
			api := &apiServer{rest: echo}
			w := newWorld(t, api.start(t), v.use)
			c := dialRaw(t, w.edge)
			c.ask("", askWebSocket(path, "Sec-WebSocket-Protocol: v4.channel.k8s.io")...)
			if resp := c.answer(); resp.StatusCode != http.StatusForbidden {
				t.Errorf("denied, and answered by %s", resp.Status)
			}
			if asked := v.take(); asked != asks {
				t.Errorf("reviewed %q, not %q", asked, asks)
			}
			for _, method := range []string{"POST", "GET"} {
				ask := askSPDY(path, "v4.channel.k8s.io")
				ask[0] = method + strings.TrimPrefix(ask[0], "POST")
				c = dialRaw(t, w.edge)
				c.ask("", ask...)
				if resp := c.answer(); resp.StatusCode != http.StatusForbidden {
					t.Errorf("denied, and SPDY by %s is answered by %s", method, resp.Status)
				}
				if asked := v.take(); asked != asks {
					t.Errorf("for SPDY by %s was reviewed %q, not %q", method, asked, asks)
				}
			}
			if seen := api.requests(); len(seen) > 0 {
				t.Fatalf("upstream saw %s %s", seen[0].Method, seen[0].URL)
			}

			v.mu.Lock()
			v.deny = nil
			v.mu.Unlock()
			c = dialRaw(t, w.edge)
			c.ask("", askWebSocket(path)...)
			if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("allowed, and answered by %s", resp.Status)
			}
			c.Close()
			if line := w.ended(1); !containsAll(line, "namespace=default", "pod=web", "proxied=") {
				t.Error(line)
			}
		})
	}
	// edge must refuse these spellings of a kubelet's exec path: the API server would decode or
	// clean each of them to that path.
	for _, path := range []string{
		"/api/v1/nodes/n1/proxy//exec/default/web/c", "/api/v1/nodes/n1/proxy/%65xec/default/web/c", "/api/v1/nodes/n1/proxy/x%2f..%2fexec/default/web/c",
		"/api/v1/nodes/n1/proxy/./exec/default/web/c",
	} {
		api := &apiServer{rest: echo}
		w := newWorld(t, api.start(t))
		for _, ask := range [][]string{askWebSocket(path), askSPDY(path, "v4.channel.k8s.io")} {
			c := dialRaw(t, w.edge)
			c.ask("", ask...)
			if resp := c.answer(); resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %s", path, resp.Status)
			}
			c.Close()
		}
	}
}
