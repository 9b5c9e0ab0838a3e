package bridge_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"edge/bridge"
	"edge/impersonate"
)

const (
	clientTrace   = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan    = "00f067aa0ba902b7"
	clientSampled = "00-" + clientTrace + "-" + clientSpan + "-01"
)

// recording is the spans of one edge.
type recording struct {
	*world
	spans *tracetest.InMemoryExporter
}

// traced returns a change of edge's configuration with which edge makes spans, and where they go. A
// request without a trusted parent is sampled with this probability. The real SDK makes the spans.
func traced(t *testing.T, ratio float64) (*tracetest.InMemoryExporter, func(*bridge.Config)) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))))
	t.Cleanup(func() { p.Shutdown(context.Background()) })
	return spans, func(cfg *bridge.Config) { cfg.Tracing = bridge.NewTracing(p, (*url.URL).EscapedPath) }
}

// trusting makes edge trust all clients of the test as proxies.
func trusting(cfg *bridge.Config) {
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// wait waits until n spans have ended, and returns all.
func (r recording) wait(n int) tracetest.SpanStubs {
	r.Helper()
	r.eventually(fmt.Sprint(n, " spans"), func() bool { return len(r.spans.GetSpans()) >= n })
	return r.spans.GetSpans()
}

// named returns the only span with this name.
func named(t *testing.T, all tracetest.SpanStubs, name string) tracetest.SpanStub {
	t.Helper()
	var found []tracetest.SpanStub
	for _, s := range all {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans %q: %v", len(found), name, all)
	}
	return found[0]
}

// attributesOf returns the attributes of a span, sorted.
func attributesOf(s tracetest.SpanStub) []string {
	var all []string
	for _, a := range s.Attributes {
		all = append(all, string(a.Key)+"="+a.Value.String())
	}
	slices.Sort(all)
	return all
}

func valueOf(s tracetest.SpanStub, key attribute.Key) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

// parentHeader returns the traceparent that names a span.
func parentHeader(s trace.SpanContext) string {
	return "00-" + s.TraceID().String() + "-" + s.SpanID().String() + "-" + s.TraceFlags().String()
}

// heads records the headers that the API server receives.
type heads struct {
	mu  sync.Mutex
	all []http.Header
}

func (h *heads) add(r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, r.Header.Clone())
}

func (h *heads) last(t *testing.T) http.Header {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) == 0 {
		t.Fatal("the API server got no request")
	}
	return h.all[len(h.all)-1]
}

// recorder returns an API server that answers each plain request with 200, and what it receives.
func recorder() (*apiServer, *heads) {
	seen := new(heads)
	return plainAPI(func(w http.ResponseWriter, r *http.Request) {
		seen.add(r)
		fmt.Fprint(w, "hello")
	}), seen
}

// TestTracesAreTakenFromTrustedProxies checks whose traceparent decides about a request's spans, and
// what the API server gets instead of the client's headers.
func TestTracesAreTakenFromTrustedProxies(t *testing.T) {
	t.Parallel()
	unsampled := strings.TrimSuffix(clientSampled, "1") + "0"
	for name, c := range map[string]struct {
		trusted bool
		ratio   float64
		parent  []string
		spans   int  // spans of the request
		child   bool // the spans are in the client's trace
		linked  bool // the request's span has a link to the client's
		flags   string
		state   string
		baggage string
	}{
		"trusted, sampled":                    {true, 0, []string{clientSampled}, 2, true, false, "01", "a=1", "b=2"},
		"trusted, not sampled":                {true, 1, []string{unsampled}, 0, true, false, "00", "a=1", "b=2"},
		"trusted, malformed":                  {true, 0, []string{clientSampled + "-x"}, 0, false, false, "00", "", "b=2"},
		"trusted, malformed, all are sampled": {true, 1, []string{clientSampled + "-x"}, 2, false, false, "01", "", "b=2"},
		"trusted, two lines":                  {true, 0, []string{clientSampled, clientSampled}, 0, false, false, "00", "", "b=2"},
		"trusted, without a trace":            {true, 1, nil, 2, false, false, "01", "", "b=2"},
		"a client, sampled":                   {false, 0, []string{clientSampled}, 0, false, false, "00", "", ""},
		"a client, sampled, all are sampled":  {false, 1, []string{clientSampled}, 2, false, true, "01", "", ""},
		"a client, not sampled":               {false, 1, []string{unsampled}, 2, false, true, "01", "", ""},
		"a client, malformed":                 {false, 1, []string{"00-x"}, 2, false, false, "01", "", ""},
		"a client without a trace":            {false, 0, nil, 0, false, false, "00", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, seen := recorder()
			spans, change := traced(t, c.ratio)
			changes := []func(*bridge.Config){change}
			if c.trusted {
				changes = append(changes, trusting)
			}
			r := recording{newWorld(t, api, changes...), spans}
			req := must(http.NewRequest(http.MethodGet, r.edge.URL+"/api/v1/nodes", nil))
			if c.parent != nil {
				req.Header["Traceparent"] = c.parent
			}
			req.Header.Set("Tracestate", "a=1")
			req.Header.Set("Baggage", "b=2")
			// A client must not remove edge's header by naming it.
			req.Header.Set("Connection", "traceparent")
			resp := must(r.client(t, false).Do(req))
			resp.Body.Close()
			all := r.wait(c.spans)
			if len(all) != c.spans {
				t.Fatalf("%d spans, want %d: %v", len(all), c.spans, all)
			}
			head := seen.last(t)
			got := head["Traceparent"]
			if len(got) != 1 || !strings.HasSuffix(got[0], "-"+c.flags) || strings.Contains(got[0], clientTrace) != c.child || strings.Contains(got[0], clientSpan) {
				t.Errorf("traceparent upstream is %q", got)
			}
			if head.Get("Tracestate") != c.state || head.Get("Baggage") != c.baggage {
				t.Errorf("tracestate %q, baggage %q", head["Tracestate"], head["Baggage"])
			}
			if c.spans == 0 {
				return
			}
			request, call := named(t, all, "LIST"), named(t, all, "API server")
			if got[0] != parentHeader(call.SpanContext) {
				t.Errorf("traceparent upstream is %q, not the call's span %v", got, call.SpanContext)
			}
			if call.Parent.SpanID() != request.SpanContext.SpanID() || call.SpanKind != trace.SpanKindClient || request.SpanKind != trace.SpanKindServer {
				t.Errorf("%v %v, below %v %v", call.SpanKind, call.Parent, request.SpanKind, request.SpanContext)
			}
			if isChild := request.Parent.SpanID().String() == clientSpan && request.SpanContext.TraceID().String() == clientTrace; isChild != c.child {
				t.Errorf("the request's span is %v below %v", request.SpanContext, request.Parent)
			}
			if isLinked := len(request.Links) == 1 && request.Links[0].SpanContext.SpanID().String() == clientSpan; isLinked != c.linked || len(request.Links) > 1 {
				t.Errorf("links %v", request.Links)
			}
		})
	}
}

// TestTracingOffPassesTheClientsTrace checks that without tracing the API server gets the client's
// own headers, in plain requests and in streams.
func TestTracingOffPassesTheClientsTrace(t *testing.T) {
	t.Parallel()
	api, seen := recorder()
	api.run = func(*process) error { return nil }
	api.start(t)
	w := newWorld(t, api)
	lines := []string{"Traceparent: " + clientSampled, "Tracestate: a=1", "Baggage: b=2"}
	check := func(head http.Header) {
		t.Helper()
		if head.Get("Traceparent") != clientSampled || head.Get("Tracestate") != "a=1" || head.Get("Baggage") != "b=2" {
			t.Errorf("the API server got %v", head)
		}
	}
	c := dialRaw(t, w.edge)
	c.ask("", append([]string{"GET /api/v1/nodes HTTP/1.1", "Host: edge.example"}, lines...)...)
	c.answer()
	check(seen.last(t))
	c = dialRaw(t, w.edge)
	c.ask("", askWebSocket(execPath, append(lines, "Sec-WebSocket-Protocol: v5.channel.k8s.io")...)...)
	if resp := c.answer(); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	api.mu.Lock()
	head := api.seen[len(api.seen)-1].Header
	api.mu.Unlock()
	check(head)
}

// TestSpanOfARequest checks the attributes of the spans, and that neither a token nor a query nor
// the name of a user is in them.
func TestSpanOfARequest(t *testing.T) {
	t.Parallel()
	api := plainAPI(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/broken":
			panic(http.ErrAbortHandler)
		case "/overload":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		}
	})
	spans, change := traced(t, 1)
	r := recording{newWorld(t, api, change, func(cfg *bridge.Config) {
		cfg.Identify = func(r *http.Request) (impersonate.Identity, error) {
			r.Header.Del("Authorization")
			if r.URL.Path == "/secret-token" { // package authn removes a token from the path
				r.URL.Path = "/REDACTED"
			}
			if r.URL.Path == "/nobody" {
				return impersonate.Identity{}, fmt.Errorf("no: Bearer secret-token")
			}
			return jane, nil
		}
	}), spans}
	const id = "audit-id=0d5f"
	for _, c := range []struct {
		method, path string
		request      []string // sorted attributes of the request's span, without those that are always there
		call         []string // and those of the call's span; nil: there is none
		failed       string   // names of the spans that failed
	}{
		{"GET", "/api/v1/nodes?watch=false&token=secret-token", []string{id, "http.request.method=GET", "http.response.status_code=200", "url.path=/api/v1/nodes"}, []string{"http.response.status_code=200"}, ""},
		{"GET", "/secret-token", []string{id, "http.request.method=GET", "http.response.status_code=200", "url.path=/REDACTED"}, []string{"http.response.status_code=200"}, ""},
		{"DELETE", "/missing", []string{id, "http.request.method=DELETE", "http.response.status_code=404", "url.path=/missing"}, []string{"http.response.status_code=404"}, ""},
		{"GET", "/%ff%00", []string{id, "http.request.method=GET", "http.response.status_code=200", "url.path=/%ff%00"}, []string{"http.response.status_code=200"}, ""},
		{"BREW", "/pot", []string{id, "http.request.method=_OTHER", "http.response.status_code=200", "url.path=/pot"}, []string{"http.response.status_code=200"}, ""},
		{"GET", "/overload", []string{id, "http.request.method=GET", "http.response.status_code=503", "url.path=/overload"}, []string{"http.response.status_code=503"}, "API server GET"},
		{"POST", "/broken", []string{id, "edge.refusal=upstream", "http.request.method=POST", "http.response.status_code=502", "url.path=/broken"}, []string{}, "API server POST"},
		{"GET", "/nobody", []string{id, "edge.refusal=internal", "http.request.method=GET", "http.response.status_code=500", "url.path=/nobody"}, nil, "GET"},
	} {
		spans.Reset()
		req := must(http.NewRequest(c.method, r.edge.URL+c.path, nil))
		req.Header.Set("Authorization", "Bearer secret-token")
		req.Header.Set("Audit-ID", "0d5f")
		resp := must(r.client(t, true).Do(req))
		resp.Body.Close()
		n := 1
		if c.call != nil {
			n = 2
		}
		all := r.wait(n)
		request := all[len(all)-1]
		if got, want := attributesOf(request), sorted(append(c.request, "client.address=127.0.0.1", "url.scheme=https")); !slices.Equal(got, want) {
			t.Errorf("%s %s: attributes %q\nwant %q", c.method, c.path, got, want)
		}
		if c.call != nil {
			if got := attributesOf(all[0]); !slices.Equal(got, c.call) {
				t.Errorf("%s %s: attributes of the call %q, want %q", c.method, c.path, got, c.call)
			}
		}
		var failed []string
		for _, s := range all {
			if s.Status.Code == codes.Error {
				failed = append(failed, s.Name)
			}
		}
		if got := strings.Join(failed, " "); got != c.failed {
			t.Errorf("%s %s: %q failed, want %q", c.method, c.path, got, c.failed)
		}
		if len(all) != n || strings.Contains(fmt.Sprintf("%+v", all), "secret-token") || strings.Contains(fmt.Sprintf("%+v", all), "jane") {
			t.Errorf("%s %s: %+v", c.method, c.path, all)
		}
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

// TestSpanTextIsBounded checks that a client can make neither a span that no collector takes, because
// its text is not UTF-8, nor a large one.
func TestSpanTextIsBounded(t *testing.T) {
	t.Parallel()
	api, _ := recorder()
	spans, change := traced(t, 1)
	r := recording{newWorld(t, api, change), spans}
	c := dialRaw(t, r.edge)
	c.ask("", "GET /api/"+strings.Repeat("a", 1<<14)+"?x="+strings.Repeat("b", 1<<14)+" HTTP/1.1", "Host: edge.example")
	c.answer()
	span := named(t, r.wait(2), "GET")
	if got := valueOf(span, "url.path"); got != "/api/"+strings.Repeat("a", 1024-len("/api/")) {
		t.Errorf("url.path has %d bytes", len(got))
	}
}

// TestSpansOfAStream checks the spans of a stream: those of its start, and none for its frames or
// its end. The API server continues the trace of the call.
func TestSpansOfAStream(t *testing.T) {
	t.Parallel()
	const frames = 50
	for _, streaming := range upstreams {
		t.Run(string(streaming), func(t *testing.T) {
			t.Parallel()
			api := (&apiServer{run: func(p *process) error {
				_, err := io.CopyN(p.out, p.in, frames)
				return err
			}}).start(t)
			spans, change := traced(t, 1)
			r := recording{newWorld(t, api, speaking(streaming), change), spans}
			ws := r.webSocket(t, execPath, "v5.channel.k8s.io")
			// The spans end before the first frame.
			all := r.wait(3)
			for range frames {
				if err := ws.WriteMessage(2, []byte{0, 'x'}); err != nil {
					t.Fatal(err)
				}
				if _, _, err := ws.ReadMessage(); err != nil {
					t.Fatal(err)
				}
			}
			ws.Close()
			r.ended(1)
			if got := spans.GetSpans(); len(got) != len(all) || len(all) != 3 {
				t.Errorf("%d spans before the frames, %d after: %v", len(all), len(got), got)
			}
			request, start, call := named(t, all, "CONNECT"), named(t, all, "session start"), named(t, all, "API server")
			if start.Parent.SpanID() != request.SpanContext.SpanID() || call.Parent.SpanID() != start.SpanContext.SpanID() {
				t.Errorf("%v\n%v\n%v", request, start, call)
			}
			api.mu.Lock()
			head := api.seen[len(api.seen)-1].Header
			api.mu.Unlock()
			if got := head["Traceparent"]; len(got) != 1 || got[0] != parentHeader(call.SpanContext) {
				t.Errorf("the API server got %q, want %s", got, parentHeader(call.SpanContext))
			}
			if valueOf(request, "http.response.status_code") != "101" || valueOf(call, "http.response.status_code") != "101" ||
				!strings.Contains(r.ended(1), "session="+valueOf(request, "edge.session")) || !strings.Contains(valueOf(request, "edge.client.dialect"), "v5.channel.k8s.io") {
				t.Errorf("%q, %q\n%s", attributesOf(request), attributesOf(call), r.ended(1))
			}
		})
	}
}

// TestSpansOfARefusedStream checks that a stream that the API server refuses has all spans, and that
// a 403 is no failed call.
func TestSpansOfARefusedStream(t *testing.T) {
	t.Parallel()
	api := (&apiServer{refuse: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden); fmt.Fprint(w, "no") }}).start(t)
	spans, change := traced(t, 1)
	r := recording{newWorld(t, api, speaking(bridge.StreamingSPDY), change), spans}
	c := dialRaw(t, r.edge)
	c.ask("", askSPDY(execPath, "v4.channel.k8s.io")...)
	if resp := c.answer(); resp.StatusCode != http.StatusForbidden {
		t.Fatal(resp.Status)
	}
	all := r.wait(3)
	for _, name := range []string{"CONNECT", "API server"} {
		if s := named(t, all, name); valueOf(s, "http.response.status_code") != "403" || s.Status.Code == codes.Error {
			t.Errorf("%s: %q %v", name, attributesOf(s), s.Status)
		}
	}
}
