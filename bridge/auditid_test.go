package bridge_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"edge/bridge"
)

// idRecorder is an Observer that stores the Audit-ID of each request.
type idRecorder struct {
	mu  sync.Mutex
	ids []string
}

func (o *idRecorder) Begin(r *http.Request) bridge.Observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ids = append(o.ids, r.Header.Get("Audit-Id"))
	return bridge.NewMetrics().Begin(r)
}

// take returns the ID of the only request since the last take.
func (o *idRecorder) take(t *testing.T) string {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.ids) != 1 {
		t.Fatalf("observed requests: %q", o.ids)
	}
	id := o.ids[0]
	o.ids = nil
	return id
}

// withoutAuditID returns the header of a request upstream without its Audit-ID, which must be one that
// edge has chosen.
func withoutAuditID(t *testing.T, h http.Header) http.Header {
	t.Helper()
	if ids := h["Audit-Id"]; len(ids) != 1 || uuid.Validate(ids[0]) != nil {
		t.Errorf("the Audit-ID upstream is %q", ids)
	}
	h = h.Clone()
	h.Del("Audit-Id")
	return h
}

// TestAuditID checks that the Observer, the API server and the client get the same Audit-ID, whether
// the API server or edge itself answers, and that a client's own ID is kept if it is harmless.
func TestAuditID(t *testing.T) {
	t.Parallel()
	var seen idRecorder
	atAPI := make(chan string, 1)
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id := strings.Join(r.Header["Audit-Id"], " and ")
		rw.Header().Set("Audit-Id", id) // as a real API server does
		atAPI <- id
	}), func(cfg *bridge.Config) { cfg.Observe = &seen })
	long := strings.Repeat("x", 256)
	for name, c := range map[string]struct {
		sent []string
		kept bool
	}{
		"none":    {nil, false},
		"own":     {[]string{"my-request-1"}, true},
		"longest": {[]string{long}, true},
		"longer":  {[]string{long + "x"}, false},
		"token":   {[]string{"x-eyJhbGciOiJub25lIn0.e30."}, false},
		"empty":   {[]string{""}, false},
		"quotes":  {[]string{`a" b='c' ~`}, true},
		"tab":     {[]string{"a\tb"}, false},
		"bidi":    {[]string{"a\u202eb"}, false},
		"umlaut":  {[]string{"ä"}, false},
		"bytes":   {[]string{"a\xff\xfe"}, false},
		"two":     {[]string{"my-request-1", "my-request-2"}, true},
	} {
		for path, byEdge := range map[string]bool{"/api/v1/pods": false, "/api/v1/namespaces/%2e%2e/pods": true} {
			req := must(http.NewRequest(http.MethodGet, w.edge.URL+path, nil))
			if c.sent != nil {
				req.Header["Audit-Id"] = c.sent
			}
			resp, err := w.edge.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			id := seen.take(t)
			if c.kept && id != c.sent[0] || !c.kept && uuid.Validate(id) != nil {
				t.Errorf("%s: the ID is %q", name, id)
			}
			if got := resp.Header["Audit-Id"]; len(got) != 1 || got[0] != id {
				t.Errorf("%s, %s: the client got %q, not %q", name, path, got, id)
			}
			if !byEdge {
				if got := <-atAPI; got != id {
					t.Errorf("%s: the API server got %q, not %q", name, got, id)
				}
			}
		}
	}
}

// TestSessionHasTheAuditID checks that the log lines of a session, and what an Observer gets of it,
// have the Audit-ID of the request.
func TestSessionHasTheAuditID(t *testing.T) {
	t.Parallel()
	for _, c := range execClients {
		var seen idRecorder
		w := newWorld(t, (&apiServer{run: func(*process) error { return nil }}).start(t), func(cfg *bridge.Config) { cfg.Observe = &seen })
		c.do(t, w.edge, command{})
		if line, id := w.ended(1), seen.take(t); !strings.Contains(line, " audit-ID="+id+" ") {
			t.Errorf("%s: the ID is %s: %s", c.name, id, line)
		}
	}
}
