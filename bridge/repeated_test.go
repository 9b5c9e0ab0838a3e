package bridge_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"edge/bridge"
	"edge/impersonate"
)

// kubelets returns an API server whose kubelet refuses each stream. The API server itself refuses a
// stream request without an Upgrade header.
func kubelets(refuse http.HandlerFunc) *apiServer {
	return &apiServer{rest: refuse, refuse: func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			w.Header().Set("Audit-Id", "of-the-retry")
			writeJSON(w, http.StatusBadRequest, upgradeRequired)
			return
		}
		refuse(w, r)
	}}
}

// notRunning answers as a kubelet that refuses a stream because the container does not run.
func notRunning(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Audit-Id", "of-the-websocket")
	w.Header().Set("Set-Cookie", "c=1")
	w.WriteHeader(http.StatusInternalServerError)
	io.WriteString(w, "container not running (123)")
}

// refused requests a WebSocket and returns edge's answer, which must not be a 101.
func (w *world) refused(t *testing.T, lines ...string) (code int, body string) {
	t.Helper()
	c := dialRaw(t, w.edge)
	defer c.Close()
	c.ask("", lines...)
	resp := c.answer()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		t.Fatal("the stream began")
	}
	return resp.StatusCode, string(must(io.ReadAll(resp.Body)))
}

// retried requests a stream over SPDY through a load balancer that has removed the Upgrade header.
func (w *world) retried(t *testing.T, http2 bool, path string, header http.Header) (resp *http.Response, body string) {
	t.Helper()
	req := must(http.NewRequest("POST", w.edge.URL+path, nil))
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("X-Stream-Protocol-Version", "v4.channel.k8s.io")
	resp = must(w.client(t, http2).Do(req))
	defer resp.Body.Close()
	return resp, string(must(io.ReadAll(resp.Body)))
}

// TestRefusalIsRepeated checks a client whose WebSocket request is refused, and whose next request,
// over SPDY, has lost its Upgrade header. edge must send the refusal of the WebSocket again,
// whether it came from the API server, a kubelet or edge.
func TestRefusalIsRepeated(t *testing.T) {
	t.Parallel()
	v5 := "Sec-WebSocket-Protocol: v5.channel.k8s.io"
	status := `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"container web is not valid for pod web","reason":"BadRequest","code":400}`
	for name, test := range map[string]struct {
		ask    []string
		path   string
		code   int
		says   string
		header string // a header that the answer must have; "": none
		api    http.HandlerFunc
		change func(*bridge.Config)
		before func(*world)
	}{
		"kubelet": {ask: askWebSocket(execPath, v5), path: execPath, code: 500, says: "container not running (123)", header: "Audit-Id", api: notRunning},
		"kubelet, at once": {ask: askWebSocket(execPath, v5), path: execPath, code: 500, says: "container not running", api: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			io.WriteString(w, "container not ")
			w.(http.Flusher).Flush()
			io.WriteString(w, "running")
		}},
		"API server": {ask: askWebSocket(execPath, v5), path: execPath, code: 400, says: status, header: "Content-Type",
			api: func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 400, status) }},
		"by get": {ask: askWebSocket(execPath, v5), path: execPath, code: 403, says: `"message":"says the API server"`, header: "Content-Type", api: func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, 403, `{"kind":"Status","status":"Failure","message":"says the API server","reason":"Forbidden","code":403}`)
		}},
		"without a word": {ask: askWebSocket(execPath, v5), path: execPath, code: 404, api: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }},
		"port-forward":   {ask: upgrades["tunnel"], path: forwardPath, code: 500, says: "container not running (123)", api: notRunning},
		"channels":       {ask: upgrades["ports"], path: forwardPath + "?ports=80", code: 500, says: "container not running (123)", api: notRunning},
		"dialect": {ask: askWebSocket(execPath, "Sec-WebSocket-Protocol: v7"), path: execPath, code: 403, says: "none of the offered WebSocket subprotocols",
			header: "X-Accepted-Stream-Protocol-Versions", api: notRunning},
		"review": {ask: askWebSocket(execPath, v5), path: execPath, code: 403, says: "says the review", api: notRunning, change: func(c *bridge.Config) {
			c.Streaming = bridge.StreamingWebSocket
			c.Review = func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error {
				return forbidden
			}
		}},
		"draining": {ask: askWebSocket(execPath, v5), path: execPath, code: 503, says: "shutting down", header: "Retry-After", api: notRunning,
			before: func(w *world) { w.handler.Drain(w.Context()) }},
	} {
		t.Run(name, func(t *testing.T) {
			seen := new(witness)
			w := newWorld(t, kubelets(test.api).start(t), func(c *bridge.Config) { c.Observe = seen }, func(c *bridge.Config) {
				if test.change != nil {
					test.change(c)
				}
			})
			if test.before != nil {
				test.before(w)
			}
			if resp, body := w.retried(t, true, test.path, nil); resp.StatusCode != 400 || !strings.Contains(body, "arrived without its Upgrade") {
				t.Errorf("before anything was refused: %s %s", resp.Status, body)
			}
			code, body := w.refused(t, test.ask...)
			if code != test.code || !strings.Contains(body, test.says) {
				t.Fatalf("%d %s", code, body)
			}
			n := 2
			bothVersions(t, func(t *testing.T, http2 bool) {
				for range 2 { // the second time checks that the cache keeps the refusal
					resp, again := w.retried(t, http2, test.path, nil)
					if resp.StatusCode != code || again != body {
						t.Errorf("%s %s, want %d %s", resp.Status, again, code, body)
					}
					if test.header != "" && resp.Header.Get(test.header) == "" || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Audit-Id") == "of-the-retry" {
						t.Errorf("%v", resp.Header)
					}
					n++
					if _, end := seen.account(w, n); end.Code != code || end.Refusal != bridge.ReasonUpgradeRequired {
						t.Errorf("on record are %d and %q", end.Code, end.Refusal)
					}
				}
			})
		})
	}
}

// byHeader makes edge authenticate each request as the identity that its X-Test- headers state.
func byHeader(c *bridge.Config) {
	c.Identify = func(r *http.Request) (impersonate.Identity, error) {
		say := func(name string) string { return r.Header.Get("X-Test-" + name) }
		id := impersonate.Identity{
			Name: say("name"), UID: say("uid"), Groups: r.Header["X-Test-Group"], Extra: map[string][]string{"team": {say("extra")}},
			Requestor: &user.DefaultInfo{Name: say("requestor"), UID: say("requestor-uid"), Groups: r.Header["X-Test-Requestor-Group"],
				Extra: map[string][]string{"team": {say("requestor-extra")}}},
		}
		if token := say("token"); token != "" {
			return impersonate.TokenPassthrough(token, id.Requestor, r.Header), nil
		}
		return id, nil
	}
}

// TestRefusalIsNobodyElses checks that edge repeats the refusal of a WebSocket only to the same
// identity and for the same request: any difference in the identity or in the path must prevent it.
func TestRefusalIsNobodyElses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kubelets(notRunning).start(t), byHeader)
	same := http.Header{"X-Test-Name": {"jane"}, "X-Test-Uid": {"1"}, "X-Test-Group": {"a", "b"}, "X-Test-Extra": {"x"}, "X-Test-Requestor": {"ann"},
		"X-Test-Requestor-Uid": {"2"}, "X-Test-Requestor-Group": {"c"}, "X-Test-Requestor-Extra": {"y"}}
	ask := func(header http.Header) {
		lines := askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io")
		for name, values := range header {
			for _, value := range values {
				lines = append(lines, name+": "+value)
			}
		}
		if code, _ := w.refused(t, lines...); code != 500 {
			t.Fatal(code)
		}
	}
	ask(same)
	isTold := func(path string, header http.Header) bool {
		_, body := w.retried(t, true, path, header)
		return strings.Contains(body, "container not running")
	}
	if !isTold(execPath, same) {
		t.Fatal("the refusal is not repeated to the same client")
	}
	for name, values := range same {
		other := same.Clone()
		other[name] = append([]string{values[0] + "2"}, values[1:]...)
		if isTold(execPath, other) {
			t.Errorf("the refusal is repeated to a client with another %s", name)
		}
	}
	for _, groups := range [][]string{{"a"}, {"a", "b", "c"}, {"a,b"}, nil} {
		other := same.Clone()
		other["X-Test-Group"] = groups
		if isTold(execPath, other) {
			t.Errorf("the refusal is repeated to a client with the groups %q", groups)
		}
	}
	for _, path := range []string{
		strings.Replace(execPath, "command=run", "command=runs", 1), strings.Replace(execPath, "pods/web", "pods/web2", 1),
		strings.Replace(execPath, "namespaces/default", "namespaces/other", 1), strings.Replace(execPath, "/exec", "/attach", 1),
		execPath + "&container=x",
	} {
		if isTold(path, same) {
			t.Errorf("%s: the refusal of another request is repeated", path)
		}
	}
	own := http.Header{"X-Test-Requestor": {"ann"}, "X-Test-Token": {"t"}}
	ask(own)
	if !isTold(execPath, own) {
		t.Error("the refusal is not repeated to the same client with its own token")
	}
	for name, value := range map[string]string{"X-Test-Token": "t2", "Impersonate-User": "bob", "Impersonate-Group": "g"} {
		other := own.Clone()
		other.Set(name, value)
		if isTold(execPath, other) {
			t.Errorf("the refusal is repeated to a client with %s: %s", name, value)
		}
	}
}

// TestRefusalIsNotRemembered checks which answers edge does not repeat: those to requests other
// than a WebSocket request for a stream, answers that are no refusal, and refusals that are too
// long or incomplete.
func TestRefusalIsNotRemembered(t *testing.T) {
	t.Parallel()
	v5 := askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io")
	for name, test := range map[string]struct {
		ask    []string
		api    http.HandlerFunc
		change func(*bridge.Config)
	}{
		"SPDY":     {ask: upgrades["spdy exec"], api: notRunning},
		"redirect": {ask: v5, api: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/login"); w.WriteHeader(302) }},
		"a page":   {ask: v5, api: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }},
		"too long": {ask: v5, api: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			io.WriteString(w, strings.Repeat("x", 16<<10+1))
		}},
		"packed": {ask: v5, api: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(500)
			io.WriteString(w, "x")
		}},
		"cut": {ask: v5, api: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(500)
			io.WriteString(w, "container")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
		"a plain request": {ask: []string{"POST " + execPath + " HTTP/1.1", "Host: e", "Content-Length: 0"}, api: notRunning},
		"the caller's own": {ask: v5, api: notRunning, change: func(c *bridge.Config) {
			c.Identify = func(*http.Request) (impersonate.Identity, error) { return impersonate.EdgeItself(), nil }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, kubelets(test.api).start(t), func(c *bridge.Config) {
				if test.change != nil {
					test.change(c)
				}
			})
			c := dialRaw(t, w.edge)
			c.ask("", test.ask...)
			io.ReadAll(c.answer().Body) // ignore an error: the body may break off early
			if resp, body := w.retried(t, true, execPath, nil); resp.StatusCode != 400 || !strings.Contains(body, "arrived without its Upgrade") {
				t.Errorf("%s %.200s", resp.Status, body)
			}
		})
	}

	// When a stream begins, edge forgets the refusal of that stream. If the API server refuses the
	// retry itself, for another reason, the client must receive that refusal.
	var refusing atomic.Bool
	refusing.Store(true)
	api := &apiServer{run: func(*process) error { return nil }}
	api.start(t)
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Test") != "":
			http.Error(w, "not for you", http.StatusForbidden)
		case r.Header.Get("Upgrade") != "" && refusing.Load():
			notRunning(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	}))
	w.refused(t, v5...)
	if resp, body := w.retried(t, true, execPath, http.Header{"X-Test": {"1"}}); resp.StatusCode != 403 || body != "not for you\n" {
		t.Errorf("the API server's own answer became %s %s", resp.Status, body)
	}
	if resp, _ := w.retried(t, true, execPath, nil); resp.StatusCode != 500 {
		t.Errorf("%s", resp.Status)
	}
	refusing.Store(false)
	w.rawWebSocket(t, execPath, "v5.channel.k8s.io").Close()
	if resp, _ := w.retried(t, true, execPath, nil); resp.StatusCode != 400 {
		t.Errorf("after a stream had begun: %s", resp.Status)
	}
	w.ended(1)
}

// TestStrandedNamesBoth checks the explanation for a client that may have requested the stream over
// WebSocket before, at another replica of edge. The explanation must mention that the WebSocket may
// have been refused, and the Audit-ID. For a kubectl that by its version uses only SPDY for such a
// stream, the explanation must mention neither.
func TestStrandedNamesBoth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kubelets(notRunning).start(t))
	for _, test := range []struct {
		agent, path string
		both        bool
	}{
		{"kubectl/v1.36.3 (linux/amd64) kubernetes/5c5b2e7", execPath, true},
		{"kubectl/v1.30.0", execPath, true},
		{"kubectl.exe/v1.31.1", forwardPath, true},
		{"kubectl/v1.30.0", forwardPath, false},
		{"kubectl/v1.29.6-eks-1", execPath, false},
		{"kubectl/v1.20.15", execPath, false},
		{"kubectl/unknown", execPath, true},
		{"argocd/2.0", execPath, true},
		{"", execPath, true},
	} {
		resp, body := w.retried(t, true, test.path, http.Header{"User-Agent": {test.agent}})
		both := containsAll(body, "tried WebSocket first", "was refused", "-v=4", "Audit-ID of this request is of-the-retry")
		if resp.StatusCode != 400 || both != test.both || strings.Contains(body, "of-the-retry") != test.both || !containsAll(body, "arrived without its Upgrade", "edge connect -- ") {
			t.Errorf("%s %s: %s %s", test.agent, test.path, resp.Status, body)
		}
		if resp.Header.Get("Audit-Id") != "of-the-retry" {
			t.Errorf("%v", resp.Header)
		}
	}
}
