package tracing_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"edge/internal/tracing"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID      = "00f067aa0ba902b7"
	sampled     = "00-" + traceID + "-" + spanID + "-01"
	unsampled   = "00-" + traceID + "-" + spanID + "-00"
	longKey     = "k0123456789"
	parentKey   = "Traceparent"
	stateKey    = "Tracestate"
	baggageKey  = "Baggage"
	someBaggage = "user=jane"
)

// TestTake checks which trace a client's header names, and that neither traceparent nor tracestate
// stays in the header.
func TestTake(t *testing.T) {
	t.Parallel()
	many := strings.TrimSuffix(strings.Repeat("a=1,", 100), ",")
	for name, c := range map[string]struct {
		parents, states []string
		trusted         bool
		want            string // the trace ID, the flags and the state; "": no trace
	}{
		"nothing":                        {nil, nil, true, ""},
		"a state alone":                  {nil, []string{"a=1"}, true, ""},
		"sampled":                        {[]string{sampled}, []string{"a=1"}, true, traceID + " 01 a=1"},
		"not sampled":                    {[]string{unsampled}, nil, true, traceID + " 00 "},
		"not trusted":                    {[]string{sampled}, []string{"a=1"}, false, traceID + " 01 "},
		"a state of two lines":           {[]string{sampled}, []string{"a=1", "b=2"}, true, traceID + " 01 a=1,b=2"},
		"a malformed state":              {[]string{sampled}, []string{"a"}, true, traceID + " 01 "},
		"a state with too many members":  {[]string{sampled}, []string{many}, true, traceID + " 01 "},
		"a state with one member twice":  {[]string{sampled}, []string{"a=1,a=2"}, true, traceID + " 01 "},
		"a state with a line break":      {[]string{sampled}, []string{"a=1\r\nX-Remote-User: x"}, true, traceID + " 01 "},
		"a later version":                {[]string{"01-" + traceID + "-" + spanID + "-01-more"}, nil, true, traceID + " 01 "},
		"two lines":                      {[]string{sampled, unsampled}, nil, true, ""},
		"two in one line":                {[]string{sampled + "," + sampled}, nil, true, ""},
		"empty":                          {[]string{""}, nil, true, ""},
		"the version that is forbidden":  {[]string{"ff-" + traceID + "-" + spanID + "-01"}, nil, true, ""},
		"no trace":                       {[]string{"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01"}, nil, true, ""},
		"no span":                        {[]string{"00-" + traceID + "-" + strings.Repeat("0", 16) + "-01"}, nil, true, ""},
		"upper case":                     {[]string{strings.ToUpper(sampled)}, nil, true, ""},
		"not hexadecimal":                {[]string{strings.Replace(sampled, "4b", "4g", 1)}, nil, true, ""},
		"short":                          {[]string{sampled[:len(sampled)-1]}, nil, true, ""},
		"no flags":                       {[]string{sampled[:len(sampled)-3]}, nil, true, ""},
		"more in version 0":              {[]string{sampled + "-00"}, nil, true, ""},
		"unknown flags in version 0":     {[]string{sampled[:len(sampled)-2] + "ff"}, nil, true, ""},
		"a space before":                 {[]string{" " + sampled}, nil, true, ""},
		"a byte that is not ASCII":       {[]string{"00-\xff" + traceID[1:] + "-" + spanID + "-01"}, nil, true, ""},
		"a megabyte":                     {[]string{strings.Repeat("0", 1<<20)}, nil, true, ""},
		"many dashes":                    {[]string{strings.Repeat("-", 1<<16)}, nil, true, ""},
		"a Zipkin header in traceparent": {[]string{traceID + "-" + spanID + "-1"}, nil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{"X-Other": {longKey}, baggageKey: {someBaggage}}
			if c.parents != nil {
				h[parentKey] = c.parents
			}
			if c.states != nil {
				h[stateKey] = c.states
			}
			got := tracing.Take(h, c.trusted)
			said := ""
			if got.IsValid() {
				said = got.TraceID().String() + " " + got.TraceFlags().String() + " " + got.TraceState().String()
			}
			if said != c.want {
				t.Errorf("%q, want %q", said, c.want)
			}
			if h[parentKey] != nil || h[stateKey] != nil || h.Get("X-Other") != longKey {
				t.Errorf("the header is %v", h)
			}
			if kept := h[baggageKey] != nil; kept != c.trusted {
				t.Errorf("baggage kept: %v", kept)
			}
		})
	}
}

func FuzzTake(f *testing.F) {
	f.Add(sampled, "a=1")
	f.Add(unsampled, "a=1,b=2")
	f.Add("01-"+traceID+"-"+spanID+"-ff-x", "")
	f.Fuzz(func(t *testing.T, parent, state string) {
		got := tracing.Take(http.Header{parentKey: {parent}, stateKey: {state}}, true)
		if !got.IsValid() {
			return
		}
		// What edge takes, it can pass on, and a server takes it too.
		h := http.Header{}
		tracing.Inject(trace.ContextWithSpanContext(t.Context(), got), h)
		if again := tracing.Take(h, true); !again.Equal(got) {
			t.Errorf("%q, %q: %v becomes %v", parent, state, got, again)
		}
	})
}

// provider returns a provider of the real SDK that samples everything, and the spans that ended.
func provider(t *testing.T) (*sdktrace.TracerProvider, *tracetest.InMemoryExporter) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	t.Cleanup(func() { p.Shutdown(context.Background()) })
	return p, spans
}

// TestSpans checks kind, parent and status of the spans that Begin and Call make, and that the text
// of an error is not in them.
func TestSpans(t *testing.T) {
	t.Parallel()
	p, spans := provider(t)
	root, span := p.Tracer("test").Start(t.Context(), "root")
	secret := errors.New("Bearer abc")

	inner, end := tracing.Begin(root, tracing.Authenticate)
	_, answered := tracing.Call(inner, tracing.TokenReview)
	answered(0, secret)
	end(secret)
	for _, code := range []int{200, 404, 409, 500} {
		_, answered := tracing.Call(root, tracing.Upstream)
		answered(code, nil)
	}
	span.End()

	var said []string
	for _, s := range spans.GetSpans() {
		line := s.Name + " " + s.SpanKind.String()
		for _, a := range s.Attributes {
			line += " " + string(a.Key) + "=" + a.Value.String()
		}
		if s.Status.Code == codes.Error {
			line += " failed"
		}
		if s.Status.Description != "" || len(s.Events) > 0 {
			t.Errorf("%s: the text of an error is recorded: %v, %v", s.Name, s.Status, s.Events)
		}
		if s.SpanContext.TraceID() != span.SpanContext().TraceID() {
			t.Errorf("%s is in another trace", s.Name)
		}
		said = append(said, line)
	}
	want := []string{
		"token review client failed", "authenticate internal failed",
		"API server client http.response.status_code=200", "API server client http.response.status_code=404",
		"API server client http.response.status_code=409", "API server client http.response.status_code=500 failed",
		"root internal",
	}
	if strings.Join(said, "\n") != strings.Join(want, "\n") {
		t.Errorf("spans\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
	if all := spans.GetSpans(); all[0].Parent.SpanID() != all[1].SpanContext.SpanID() || all[1].Parent.SpanID() != span.SpanContext().SpanID() {
		t.Error("the parents are wrong")
	}
}

// TestTransport checks that a request names the span of its context, and that the caller's request
// does not change.
func TestTransport(t *testing.T) {
	t.Parallel()
	p, _ := provider(t)
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get(parentKey) }))
	defer server.Close()
	client := &http.Client{Transport: tracing.Transport{Next: server.Client().Transport}}
	for _, traced := range []bool{false, true} {
		ctx, want := t.Context(), unsampled // without a span the caller's header stays
		if traced {
			var span trace.Span
			ctx, span = p.Tracer("test").Start(ctx, "root")
			defer span.End()
			want = "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01"
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(parentKey, unsampled)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got != want || req.Header.Get(parentKey) != unsampled {
			t.Errorf("traced %v: the server got %q, want %q; the request has %q", traced, got, want, req.Header.Get(parentKey))
		}
	}
}

// TestSwitchedOffAllocatesNothing checks that a request without a span, or with one that is not
// sampled, costs no allocation.
func TestSwitchedOffAllocatesNothing(t *testing.T) {
	p := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	defer p.Shutdown(context.Background())
	dropped, span := p.Tracer("test").Start(t.Context(), "root")
	defer span.End()
	for name, ctx := range map[string]context.Context{"off": t.Context(), "not sampled": dropped} {
		if n := testing.AllocsPerRun(100, func() {
			inner, end := tracing.Begin(ctx, tracing.Authenticate)
			_, answered := tracing.Call(inner, tracing.TokenReview)
			answered(200, nil)
			end(nil)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	h := http.Header{parentKey: {sampled}}
	if n := testing.AllocsPerRun(100, func() { tracing.Inject(t.Context(), h) }); n != 0 || h.Get(parentKey) != sampled {
		t.Errorf("off: Inject made %v allocations; the header is %v", n, h)
	}
}
