package bridge_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edge/bridge"
)

// smuggled are bytes that a client sends after its request. They are a second request, which claims
// another identity.
const smuggled = "GET /api/v1/secrets HTTP/1.1\r\nHost: e\r\nImpersonate-User: admin\r\nConnection: close\r\n\r\n"

// TestRefusal checks that an answer other than 101 reaches the client unchanged: status, header and
// body. The client must get no second answer, and edge must not follow redirects.
func TestRefusal(t *testing.T) {
	t.Parallel()
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
				maps.Copy(w.Header(), refusal.header)
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
					if got := resp.Header[name]; !reflect.DeepEqual(got, want) && (name != "Connection" || !resp.Close) {
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

// TestNon101 is a row of the attack corpus in docs/security.md. The API server answers an upgrade
// with something other than the requested 101. The bytes that the client sent after its request
// must then not reach the API server, except as a new request with the client's own identity.
func TestNon101(t *testing.T) {
	t.Parallel()
	const switching = "HTTP/1.1 101 Switching Protocols\r\n"
	answers := map[string]struct {
		answer string
		only   string // the only kind of dialect in the test of this answer; "": all
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
	for _, streaming := range []bridge.Streaming{bridge.StreamingAuto, bridge.StreamingWebSocket} {
		for name, test := range answers {
			if streaming == bridge.StreamingWebSocket && strings.HasPrefix(name, "websocket") {
				continue
			}
			t.Run(string(streaming)+", "+name, func(t *testing.T) {
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
				}), speaking(streaming))
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
}

// TestNoHijack checks a client connection that edge cannot take over from net/http. edge must free
// the session's slot and close its upstream connection.
func TestNoHijack(t *testing.T) {
	t.Parallel()
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
			continue // skip: this API server does not answer as a WebSocket server does
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

// TestFreshConnections checks that edge begins a stream only on a new connection. The API server
// may be about to close a connection on which it has refused a stream.
func TestFreshConnections(t *testing.T) {
	t.Parallel()
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
