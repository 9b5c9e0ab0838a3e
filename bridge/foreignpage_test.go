package bridge_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"edge/bridge"
)

// foreignPages are headers that browsers add to requests of web pages whose origin is not allowed.
// Such pages must not act for their visitor.
var foreignPages = map[string]http.Header{
	"another site":                    {"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}},
	"another site, no fetch metadata": {"Origin": {"https://evil.example"}},
	"a sandboxed page":                {"Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}},
	"a sibling":                       {"Origin": {"https://www.edge.example"}, "Sec-Fetch-Site": {"same-site"}},
	"another port":                    {"Origin": {"https://edge.example:8443"}, "Sec-Fetch-Site": {"same-site"}},
	"not the console's port":          {"Origin": {"https://console.example.com:8443"}},
	"two Origins":                     {"Origin": {"https://edge.example", "https://evil.example"}},
	"without an Origin":               {"Sec-Fetch-Site": {"cross-site"}},
	"a sibling without an Origin":     {"Sec-Fetch-Site": {"same-site"}},
	"a word that is to come":          {"Sec-Fetch-Site": {"from-afar"}},
	"two words":                       {"Sec-Fetch-Site": {"same-origin", "cross-site"}},
	"no word":                         {"Sec-Fetch-Site": {""}},
}

// goodSenders are headers of requests that edge must accept, although they may come from a browser.
var goodSenders = map[string]http.Header{
	"a program":                    {},
	"edge's own host":              {"Origin": {"https://edge.example"}, "Sec-Fetch-Site": {"same-origin"}},
	"edge's own, without Origin":   {"Sec-Fetch-Site": {"same-origin"}},
	"the address bar, or a reload": {"Sec-Fetch-Site": {"none"}},
	"an allowed console":           {"Origin": {"https://console.example.com"}, "Sec-Fetch-Site": {"cross-site"}},
}

// TestForeignPageWrites is a row of the attack corpus in docs/security.md. The browser here adds
// the credential by itself. A page of an origin that is not allowed must then not change anything,
// neither by a form nor by fetch. Its requests must not reach the API server. Reads, programs,
// allowed pages and requests with a bearer token must pass.
func TestForeignPageWrites(t *testing.T) {
	t.Parallel()
	api := &apiServer{rest: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }}
	var credential credentialKind
	w := newWorld(t, api.start(t), credential.use, func(cfg *bridge.Config) { cfg.AllowedOrigins = []string{"https://console.example.com"} })
	send := func(http2 bool, method, path string, header http.Header) (*http.Response, string) {
		t.Helper()
		r := must(http.NewRequest(method, w.edge.URL+path, strings.NewReader("a=b")))
		r.Host = "edge.example"
		r.Header = header.Clone()
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := w.client(t, http2).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp, string(must(io.ReadAll(resp.Body)))
	}
	const configMaps, run = "/api/v1/namespaces/default/configmaps", "/api/v1/nodes/n1/proxy/run/default/web/c?cmd=id"
	writes := []string{"POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION", "post", "QUERY"}
	for name, header := range foreignPages {
		for _, method := range writes {
			for i, path := range []string{configMaps, run, execPath, "/"} {
				resp, body := send(i%2 == 0, method, path, header)
				if resp.StatusCode != http.StatusForbidden || !containsAll(body, `"kind":"Status"`, "--allowed-origins") {
					t.Errorf("%s: %s %s: %s %s", name, method, path, resp.Status, body)
				}
			}
		}
	}
	if seen := api.requests(); len(seen) > 0 {
		t.Fatalf("upstream saw %s %s", seen[0].Method, seen[0].URL)
	}
	passes := func(name, method string, header http.Header) {
		t.Helper()
		if resp, body := send(true, method, configMaps, header); resp.StatusCode != http.StatusTeapot {
			t.Errorf("%s: %s: %s %s", name, method, resp.Status, body)
		}
	}
	for name, header := range foreignPages {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			passes(name, method, header)
		}
	}
	for name, header := range goodSenders {
		for _, method := range writes {
			passes(name, method, header)
		}
	}
	credential.bearer.Store(true)
	for name, header := range foreignPages {
		passes(name+", with a bearer token", "POST", header)
	}
}

// TestForeignPageWritesSandbox belongs to the same row of the attack corpus in docs/security.md as
// TestForeignPageWrites. A page that a pod, a service or a node serves through the API server's
// proxy has edge's own origin in the browser. edge must add a sandbox policy, whatever policy the
// pod sends, unless the client authenticated with a bearer token.
func TestForeignPageWritesSandbox(t *testing.T) {
	t.Parallel()
	const own = "default-src 'self'; sandbox allow-same-origin allow-scripts"
	api := &apiServer{rest: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("early") { // ReverseProxy sends the 103 with all headers that the answer has so far
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Set("Content-Security-Policy", own)
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Query().Has("missing") {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, "<script>fetch('/api')</script>")
	}}
	var credential credentialKind
	w := newWorld(t, api.start(t), credential.use)
	policies := func(path string) []string {
		t.Helper()
		resp, err := w.client(t, true).Get(w.edge.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Header["Content-Security-Policy"]
	}
	pages := []string{
		"/api/v1/namespaces/default/services/web/proxy", "/api/v1/namespaces/default/pods/web:80/proxy/", "/api/v1/namespaces/default/services/https:web:443/proxy/a/b",
		"/api/v1/nodes/n1/proxy/logs/", "/api/v1//nodes/n1/proxy/logs/", "/api/v1/nodes/n1/pro%78y/logs/", "/api/v1/namespaces/default/pods/web/proxy/?early", "/api/v1/namespaces/default/pods/web/proxy/?missing",
		"/apis/proxy.example.com/v1/namespaces/default/clusters/m1/proxy/api", "/apis/cluster.example.com/v1/clusters/m1/proxy",
	}
	for _, path := range pages {
		if got := policies(path); !slices.Equal(got, []string{own, "sandbox"}) {
			t.Errorf("%s: %q", path, got)
		}
	}
	for _, path := range []string{"/api/v1/namespaces/proxy-system/configmaps", "/version"} {
		if got := policies(path); !slices.Equal(got, []string{own}) {
			t.Errorf("%s: %q", path, got)
		}
	}
	credential.bearer.Store(true)
	for _, path := range pages {
		if got := policies(path); !slices.Equal(got, []string{own}) {
			t.Errorf("%s, with a bearer token: %q", path, got)
		}
	}
}
