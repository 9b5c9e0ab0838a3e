package bridge_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"edge/bridge"
	"edge/impersonate"
)

const (
	page    = "https://console.example.com"
	pagesRE = `^https://console\.example\.com$`
)

// otherFronts are CORS headers that the API server, or an application behind it, sends for its own
// origins.
var otherFronts = http.Header{
	"Access-Control-Allow-Origin": {"https://evil.example"}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Allow-Methods": {"POST"},
	"Access-Control-Allow-Headers": {"X-Theirs"}, "Access-Control-Expose-Headers": {"X-Theirs"}, "Access-Control-Max-Age": {"86400"},
	"Access-Control-Allow-Private-Network": {"true"}, "Vary": {"Accept"},
}

// corsOf returns the headers of an answer that a browser evaluates for CORS: Access-Control-* and
// Vary.
func corsOf(h http.Header) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
			all = append(all, fmt.Sprint(name, "=", strings.Join(h[name], "|")))
		}
	}
	return strings.Join(all, "; ")
}

const (
	readable   = "Access-Control-Allow-Origin=" + page + "; Access-Control-Expose-Headers=Date, Audit-Id, Warning, Retry-After, Etag; Vary="
	unreadable = "Vary="
)

// nobodyWithout is a Config.Identify that authenticates every request that has a token and refuses
// all others. It counts its calls.
type nobodyWithout struct {
	mu    sync.Mutex
	asked int
}

func (n *nobodyWithout) identify(r *http.Request) (impersonate.Identity, error) {
	n.mu.Lock()
	n.asked++
	n.mu.Unlock()
	if r.Header.Get("Authorization") == "" {
		return impersonate.Identity{}, apierrors.NewUnauthorized("Unauthorized")
	}
	id := jane
	id.Bearer = true
	return id, nil
}

// notes is an Observer that records why edge refused requests.
type notes struct {
	mu      sync.Mutex
	began   int
	refused []string
}

func (n *notes) Begin(*http.Request) bridge.Observation {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.began++
	return n
}

func (n *notes) Identified(_ *http.Request, _ impersonate.Identity, refused error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if refused != nil {
		n.refused = append(n.refused, refused.Error())
	}
	return nil
}

func (n *notes) Streaming(bridge.Stream) error { return nil }
func (n *notes) Started(int)                   {}
func (n *notes) Ended(bridge.End)              {}

func corsWorld(t *testing.T, patterns ...string) (*world, *nobodyWithout, *notes) {
	who, seen := new(nobodyWithout), new(notes)
	answer := func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), otherFronts)
		if strings.HasSuffix(r.URL.Path, "/hints") {
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "a part")
		http.NewResponseController(w).Flush()
		io.WriteString(w, " and the rest")
	}
	w := newWorld(t, (&apiServer{rest: answer, refuse: answer}).start(t), func(cfg *bridge.Config) {
		cfg.CORSAllowedOrigins, cfg.Identify, cfg.Observe = patterns, who.identify, seen
	})
	return w, who, seen
}

// fetch sends a request to edge as a browser does. header contains names and values in turn.
func (w *world) fetch(http2 bool, method, path string, header ...string) *http.Response {
	w.Helper()
	req := must(http.NewRequest(method, w.edge.URL+path, nil))
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp := must(w.client(w.T, http2).Do(req))
	w.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestPreflight checks CORS preflights. edge must answer that of an allowed origin before
// authentication, with no body and without Access-Control-Allow-Credentials, and not report it to
// the Observer. edge refuses every other preflight as the unauthenticated request that it is, and
// the log names the reason.
func TestPreflight(t *testing.T) {
	t.Parallel()
	ask := []string{"Access-Control-Request-Method", "DELETE", "Access-Control-Request-Headers", "authorization"}
	bothVersions(t, func(t *testing.T, http2 bool) {
		w, who, seen := corsWorld(t, pagesRE)
		resp := w.fetch(http2, "OPTIONS", "/api/v1/namespaces/a/pods/b", append(ask, "Origin", page)...)
		body := must(io.ReadAll(resp.Body))
		want := "Access-Control-Allow-Headers=Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, " +
			"If-Modified-Since, Accept, If-None-Match, Impersonate-User, Impersonate-Group, Impersonate-Uid; " +
			"Access-Control-Allow-Methods=POST, GET, OPTIONS, PUT, DELETE, PATCH; Access-Control-Allow-Origin=" + page +
			"; Access-Control-Max-Age=600; Vary=Origin"
		if got := corsOf(resp.Header); resp.StatusCode != http.StatusNoContent || len(body) > 0 || got != want {
			t.Errorf("%s, %d bytes\n%s\nwant\n%s", resp.Status, len(body), got, want)
		}
		if who.asked != 0 || seen.began != 0 {
			t.Errorf("%d requests were authenticated, the Observer saw %d", who.asked, seen.began)
		}
		for _, c := range []struct {
			name   string
			header []string
			reason string
		}{
			{"another origin", append(slices.Clone(ask), "Origin", "https://evil.example"), "a browser's preflight"},
			{"an origin within another", append(slices.Clone(ask), "Origin", page+".evil.example"), "a browser's preflight"},
			{"null", append(slices.Clone(ask), "Origin", "null"), "a browser's preflight"},
			{"two origins", append(slices.Clone(ask), "Origin", page, "Origin", "https://evil.example"), "a browser's preflight"},
			{"a very long one", append(slices.Clone(ask), "Origin", page+strings.Repeat("a", 1<<10)), "a browser's preflight"},
			{"no method asked for", []string{"Origin", page}, "Unauthorized"},
			{"no origin", ask, "Unauthorized"},
		} {
			seen.refused = nil
			resp := w.fetch(http2, "OPTIONS", "/api", c.header...)
			got := corsOf(resp.Header)
			allowed := c.name == "no method asked for"
			if resp.StatusCode != http.StatusUnauthorized || got != unreadable+"Origin" && !allowed || allowed && got != readable+"Origin" {
				t.Errorf("%s: %s, %s", c.name, resp.Status, got)
			}
			if len(seen.refused) != 1 || !strings.HasPrefix(seen.refused[0], c.reason) {
				t.Errorf("%s: the log has %q", c.name, seen.refused)
			}
		}
	})
}

// TestPreflightOff checks that edge adds no CORS header if no origin is configured, and that the
// CORS headers of the API server pass unchanged.
func TestPreflightOff(t *testing.T) {
	t.Parallel()
	w, _, seen := corsWorld(t)
	resp := w.fetch(false, "OPTIONS", "/api", "Origin", page, "Access-Control-Request-Method", "GET")
	if got := corsOf(resp.Header); resp.StatusCode != http.StatusUnauthorized || got != "" || len(seen.refused) != 1 {
		t.Errorf("%s, %s, %q", resp.Status, got, seen.refused)
	}
	resp = w.fetch(false, "GET", "/api", "Origin", page, "Authorization", "Bearer x")
	if got := corsOf(resp.Header); got != corsOf(otherFronts) {
		t.Error(got)
	}
}

// TestCORSAnswers checks that each answer has only edge's own CORS headers. It covers answers of
// the API server, also in pieces and after early hints, refusals by edge, and refused upgrades.
func TestCORSAnswers(t *testing.T) {
	t.Parallel()
	w, _, _ := corsWorld(t, `^http://other$`, pagesRE)
	token, spdyUpgrade := []string{"Authorization", "Bearer x"}, []string{"Connection", "Upgrade", "Upgrade", "SPDY/3.1"}
	for _, c := range []struct {
		name, path string
		header     []string
		code       int
		vary       string
	}{
		{"upstream's", "/api", token, 418, "Accept|Origin"},
		{"after hints", "/hints", token, 418, "Accept|Origin"},
		{"401", "/api", nil, 401, "Origin"},
		{"400", "/a/../b", token, 400, "Origin"},
		{"a token in the URL", "/api?access_token=eyJa.b.c", token, 400, "Origin"},
		{"an upgrade that edge refuses", execPath, append(slices.Clone(spdyUpgrade), token...), 400, "Origin"},
		{"a stream that upstream refuses", execPath, append(append(slices.Clone(spdyUpgrade), "X-Stream-Protocol-Version", "v4.channel.k8s.io"), token...), 418, "Accept|Origin"},
	} {
		for origin, want := range map[string]string{page: readable, "https://evil.example": unreadable, "": unreadable} {
			bothVersions(t, func(t *testing.T, http2 bool) {
				if http2 && slices.Contains(c.header, "Upgrade") {
					return // HTTP/2 has no Upgrade
				}
				resp := w.fetch(http2, "GET", c.path, append(slices.Clone(c.header), "Origin", origin)...)
				got := corsOf(resp.Header)
				if resp.StatusCode != c.code || got != want+c.vary {
					t.Errorf("%s, %q: %s\n%s\nwant\n%s", c.name, origin, resp.Status, got, want+c.vary)
				}
				if body := string(must(io.ReadAll(resp.Body))); c.code == 418 && body != "a part and the rest" {
					t.Errorf("%s: %q", c.name, body)
				}
			})
		}
	}
}

// TestCORSPatterns checks that edge accepts and rejects the same origin patterns as kube-apiserver.
// TestCORSAgainstAPIServer compares the patterns in edge and in a real API server.
func TestCORSPatterns(t *testing.T) {
	t.Parallel()
	for pattern, good := range map[string]bool{
		`^https://a\.example$`: true, `//a\.example(:|$)`: true, `^https://([a-z]+\.)?a\.example(:|$)`: true, `^null$`: true,
		"": false, "*": false, ".*": false, "https": false, `a\.example$`: false, `//a\.example`: false, `^https`: false, `^(a`: false, `^a$(`: false,
	} {
		_, err := bridge.New(bridge.Config{
			Upstream: configFor(serveTLS(t, http.NotFoundHandler())), Identify: new(nobodyWithout).identify, Review: func(context.Context, impersonate.Identity, authorizationv1.ResourceAttributes) error { return nil },
			CORSAllowedOrigins: []string{pattern}, Log: slog.New(slog.DiscardHandler),
		})
		if (err == nil) != good {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

// TestCORSStreams checks that CORS settings do not hinder streams, with an Observer and without,
// and that the 101 has no CORS headers.
func TestCORSStreams(t *testing.T) {
	t.Parallel()
	for _, observe := range []bridge.Observer{nil, new(notes)} {
		w := newWorld(t, (&apiServer{run: exit7}).start(t), func(cfg *bridge.Config) {
			cfg.CORSAllowedOrigins, cfg.AllowedOrigins, cfg.Observe = []string{pagesRE}, []string{page}, observe
		})
		for _, client := range []string{"websocket v5", "spdy v4"} {
			if got := clientNamed(client).do(t, w.edge, command{}); got.stdout != "out" || got.err == nil || !strings.Contains(got.err.Error(), "7") {
				t.Errorf("%s: %+v", client, got)
			}
		}
		c := dialRaw(t, w.edge)
		c.ask("", askWebSocket(execPath, "Sec-WebSocket-Protocol: v5.channel.k8s.io", "Origin: "+page)...)
		if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols || corsOf(resp.Header) != "" {
			t.Errorf("%s, %s", resp.Status, corsOf(resp.Header))
		}
		c.Close()
	}
}
