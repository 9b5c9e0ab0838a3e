package e2e

import (
	"net/http"
	"testing"

	"edge/e2e/testbed/cluster"
)

// TestHopByHop checks that a client cannot remove the headers that edge adds. The client names
// these headers in Connection, which makes them hop-by-hop headers that a proxy removes (RFC 9110,
// section 7.6.1). The API server must receive the same headers on every path.
func TestHopByHop(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	to := a.as(tokens["alice"])
	connections := map[string][]string{
		"nothing":       nil,
		"one line":      {"Connection: Impersonate-User, Impersonate-Group, Authorization, X-Forwarded-For, Audit-Id"},
		"many lines":    {"Connection: impersonate-user", "Connection: IMPERSONATE-GROUP", "Connection: authorization", "Connection: x-forwarded-for"},
		"spaces, empty": {"Connection: , ,Impersonate-User ,, Impersonate-Group,\t,X-Forwarded-For,"},
		"tabs":          {"Connection:\tImpersonate-User\t,\tImpersonate-Group\t"},
		"and close":     {"Connection: close, Impersonate-User, Impersonate-Group"},
		"other lists":   {"Proxy-Connection: Impersonate-User", "Keep-Alive: Impersonate-User", "Te: trailers, Impersonate-User", "Trailer: Impersonate-User"},
	}
	// one request at a time, because the recorder does not know which client request caused an
	// upstream request
	for _, ask := range asks {
		t.Run(ask.name, func(t *testing.T) {
			for name, lines := range connections {
				a.recorder.Forget()
				// If the request is an upgrade, the client sends these header lines in addition to
				// the line "Connection: Upgrade".
				if got := ask.do(t, to, lines...); got.code != ask.code {
					t.Errorf("Connection names %s: %v, want %d", name, got, ask.code)
					continue
				}
				want := ask.upstream.Clone()
				if name == "other lists" {
					// in the header Te, edge forwards the value "trailers", which gRPC needs, and
					// removes all other values
					want.Set("Te", "trailers")
				}
				checkHeads(t, name, a.requests(), want)
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		a.recorder.Forget()
		plain := http.Header{"Accept": {"application/json"}, "User-Agent": {"test"}}
		if got := overHTTP2(t.Context(), t, to, podsURI, plain); got.code != 200 {
			t.Fatal(got)
		}
		checkHeads(t, "nothing", a.requests(), asks[0].upstream)
		a.recorder.Forget()
		for _, name := range []string{"connection", "proxy-connection", "keep-alive", "upgrade", "transfer-encoding"} {
			c := dialFrames(t, to)
			c.request(t, 1, true, "GET", podsURI, [2]string{name, "impersonate-user, impersonate-group"})
			if code := c.answer(t, 1); code == "200" {
				t.Errorf("%s: %s", name, code)
			}
			c.Close()
		}
		// HTTP/2 forbids header fields such as Connection and Upgrade (RFC 9113, section 8.2.2)
		a.nothing(t, "a field that HTTP/2 has not")
	})
}
