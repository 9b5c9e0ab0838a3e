package e2e

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is an OpenTelemetry collector that stores the spans that edge sends to it with OTLP over
// HTTP. It accepts every batch.
type collector struct {
	url string

	mu    sync.Mutex
	posts int // requests of any kind
	spans []*tracev1.Span
	err   error // the first error in a request; nil: none
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// ServeHTTP stores one batch of spans.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	spans, err := readSpans(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posts++
	c.spans = append(c.spans, spans...)
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("%s %s: %w", r.Method, r.URL, err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf") // an empty ExportTraceServiceResponse
}

func readSpans(r *http.Request) (spans []*tracev1.Span, err error) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Encoding") != "gzip" {
		return nil, fmt.Errorf("not a compressed batch of spans: %v", r.Header)
	}
	plain, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(plain, 16<<20))
	if err != nil {
		return nil, err
	}
	// TracesData has the fields of ExportTraceServiceRequest
	var batch tracev1.TracesData
	if err := proto.Unmarshal(body, &batch); err != nil {
		return nil, err
	}
	for _, resource := range batch.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			spans = append(spans, scope.GetSpans()...)
		}
	}
	return spans, nil
}

// received returns the number of requests so far and the spans in them.
func (c *collector) received(t *testing.T) (posts int, spans []*tracev1.Span) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		t.Errorf("the collector: %v", c.err)
	}
	return c.posts, slices.Clone(c.spans)
}

// isRequest reports whether a span is that of a client's request, and not of a part of one.
func isRequest(span *tracev1.Span) bool { return span.GetKind() == tracev1.Span_SPAN_KIND_SERVER }

// attribute returns the value of a span's attribute as text; empty: the span does not have it.
func attribute(span *tracev1.Span, key string) string {
	for _, a := range span.GetAttributes() {
		if a.GetKey() != key {
			continue
		}
		if n, ok := a.GetValue().GetValue().(*commonv1.AnyValue_IntValue); ok {
			return strconv.FormatInt(n.IntValue, 10)
		}
		return a.GetValue().GetStringValue()
	}
	return ""
}
