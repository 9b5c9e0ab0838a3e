package bridge

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"
)

// TestTracingOffCostsNothing checks that without tracing a request is not touched, and that nothing
// stands between the proxy and its transport.
func TestTracingOffCostsNothing(t *testing.T) {
	var off *Tracing
	r := httptest.NewRequest(http.MethodGet, "https://edge.example/api", nil)
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	trusted := trustedProxies{netip.MustParsePrefix("10.0.0.0/8")}
	n := testing.AllocsPerRun(100, func() {
		if off.start(r, trusted) != r || (Config{}).observers() != nil || off.around(http.DefaultTransport) != http.DefaultTransport {
			t.Error("the request has changed")
		}
	})
	if n != 0 || len(r.Header) != 1 {
		t.Errorf("%v allocations; the header is %v", n, r.Header)
	}
}

// TestStreamKeepsNoSpan checks that the observation of a stream, which lasts for days, does not keep
// the span, which ended with the 101.
func TestStreamKeepsNoSpan(t *testing.T) {
	traced := NewTracing(noop.NewTracerProvider(), (*url.URL).EscapedPath)
	o, ok := traced.Begin(httptest.NewRequest(http.MethodGet, "https://edge.example/", nil)).(*tracedRequest)
	if !ok || o.span == nil {
		t.Fatal(o)
	}
	if o.Started(http.StatusOK); o.span == nil {
		t.Error("the span of a plain answer ended with its header")
	}
	if o.Started(http.StatusSwitchingProtocols); o.span != nil {
		t.Error("a stream keeps its span")
	}
	o.Ended(End{Code: http.StatusSwitchingProtocols})
}
