package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"edge/e2e/testbed/cluster"
)

// debugPatience limits a wait of TestDebugSurface. Only a failed test reaches it.
const debugPatience = time.Minute

// operators are the paths of the operator's port, and paths that look like them.
var operators = []string{
	"/metrics", "/metrics/", "/live", "/ready", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2", "/debug/pprof/profile?seconds=1",
	"/debug/pprof/trace?seconds=1", "/debug/pprof/cmdline", "/debug/pprof/symbol", "//metrics", "/debug//pprof/", "/debug/vars", "/debug/requests",
}

// showsEdge reports whether a text has what only edge's own metrics, probes or profiles have.
func showsEdge[T string | []byte](text T) bool {
	for _, of := range []string{"edge_build_info", "go_goroutines", "edge/bridge", "Types of profiles", "heap profile:", "--readiness-probe-port"} {
		if strings.Contains(string(text), of) {
			return true
		}
	}
	return false
}

// TestDebugSurface checks that metrics, profiles and probes of edge do not exist on the port of users:
// requests for them need a credential, and then go to the API server like any other. On the
// operator's port, profiles exist only with --profiling, nobody can order too many or too long ones,
// and neither profiles nor metrics have a token or a user's name.
func TestDebugSurface(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New, "--profiling")
	to := a.as(tokens["alice"])
	for _, uri := range operators {
		for _, method := range []string{"GET", "POST"} {
			if got := raw(t.Context(), t, a.as(""), method, uri, "Content-Length: 0"); got.code != http.StatusUnauthorized || showsEdge(got.body) {
				t.Errorf("%s %s without a credential: %v", method, uri, got)
			}
			a.nothing(t, method+" "+uri)
			got := raw(t.Context(), t, to, method, uri, "Content-Length: 0")
			heads := a.requests()
			a.recorder.Forget()
			if showsEdge(got.body) || len(heads) != 1 || heads[0].URI != uri || heads[0].Header.Get("Impersonate-User") == "" {
				t.Errorf("%s %s: %v, and it went upstream as %v", method, uri, got, heads)
			}
		}
	}
	// An absolute URI or a Host header with the operator's address is no way there either.
	for _, c := range []struct{ uri, header string }{{"http://" + a.Probes + "/metrics", "Accept: */*"}, {"/metrics", "Host: " + a.Probes}, {"/metrics", "X-Forwarded-Host: " + a.Probes}} {
		if got := raw(t.Context(), t, a.as(""), "GET", c.uri, c.header); got.code == http.StatusOK || showsEdge(got.body) {
			t.Errorf("%v: %v", c, got)
		}
	}
	a.nothing(t, "the operator's address")

	a.checkProfiles(t)
	for _, path := range []string{"/metrics", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1", "/debug/pprof/"} {
		code, text, err := a.operator(t.Context(), http.MethodGet, path)
		if err != nil || code != http.StatusOK || !showsEdge(text) {
			t.Errorf("%s: %d %v %.200q", path, code, err, text)
		}
		for _, secret := range []string{tokens["alice"], "alice", podsURI, "--oidc-issuer-url"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has %.20s", path, secret)
			}
		}
	}

	off := attack(t, cluster.New, "--enable-metrics=false")
	for _, path := range append([]string{"/"}, operators...) {
		code, text, err := off.operator(t.Context(), http.MethodGet, path)
		want := http.StatusNotFound
		if path == "/live" || path == "/ready" {
			want = http.StatusOK
		}
		if err != nil || code != want && (code < 300 || code > 399) || showsEdge(text) {
			t.Errorf("%s without its flag: %d %v %.200q", path, code, err, text)
		}
	}
}

// checkProfiles checks the bounds of profiles: their length, their number, and the methods.
func (a attacked) checkProfiles(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/metrics", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			if code, text, err := a.operator(t.Context(), method, path); err != nil || code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d %v %.200q", method, path, code, err, text)
			}
		}
	}
	for _, query := range []string{"profile?seconds=301", "trace?seconds=1e9", "heap?seconds=9223372036854775807", "trace?seconds=NaN"} {
		if code, text, err := a.operator(t.Context(), http.MethodGet, "/debug/pprof/"+query); err != nil || code != http.StatusBadRequest {
			t.Errorf("%s: %d %v %.200q", query, code, err, text)
		}
	}
	if code, text, err := a.operator(t.Context(), http.MethodGet, "/debug/pprof/cmdline"); err != nil || code != http.StatusNotFound || strings.Contains(text, "--oidc") {
		t.Errorf("the command line: %d %v %.200q", code, err, text)
	}
	// Two profiles of 5 minutes: a third one is refused, and probes and metrics still answer.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 2)
	for _, kind := range []string{"trace", "profile"} {
		go func() {
			_, _, err := a.operator(ctx, http.MethodGet, "/debug/pprof/"+kind+"?seconds=300")
			ended <- err
		}()
	}
	expect := func(what string, want int) {
		t.Helper()
		eventually(t.Context(), t, debugPatience, what, func(ctx context.Context) error {
			code, text, err := a.operator(ctx, http.MethodGet, "/debug/pprof/symbol")
			if err == nil && code != want {
				err = fmt.Errorf("%d %.200q", code, text)
			}
			return err
		})
	}
	expect("a refusal of a third profile", http.StatusServiceUnavailable)
	for _, path := range []string{"/live", "/ready", "/metrics"} {
		if code, text, err := a.operator(t.Context(), http.MethodGet, path); err != nil || code != http.StatusOK {
			t.Errorf("%s beside two profiles: %d %v %.200q", path, code, err, text)
		}
	}
	cancel() // a client that has gone makes room
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a profile of 5 minutes: %v", err)
		}
	}
	expect("a profile again", http.StatusOK)
}

// operator sends a request to the operator's port.
func (a attacked) operator(ctx context.Context, method, path string) (code int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.Probes+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp.StatusCode, string(text), err
}
