package bridge_test

import (
	"net/http"
	"testing"
)

// TestMethods checks that edge refuses CONNECT and TRACE, which do not act on the resource in the
// path, and does not forward them.
func TestMethods(t *testing.T) {
	t.Parallel()
	api := &apiServer{rest: func(http.ResponseWriter, *http.Request) {}}
	w := newWorld(t, api.start(t))
	for method, code := range map[string]int{"CONNECT": 405, "TRACE": 405, "GET": 200, "HEAD": 200, "OPTIONS": 200, "QUERY": 200} {
		c := dialRaw(t, w.edge)
		c.ask("", method+" /version HTTP/1.1", "Host: e")
		if resp := c.answer(); resp.StatusCode != code {
			t.Errorf("%s: %s", method, resp.Status)
		}
		c.Close()
	}
	for _, r := range api.requests() {
		if r.Method == "CONNECT" || r.Method == "TRACE" {
			t.Errorf("upstream saw %s %s", r.Method, r.URL)
		}
	}
}
