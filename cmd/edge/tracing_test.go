package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"edge/internal/testkit"
)

// spanServer is a collector with TLS in this process. The tests in e2e use a real one.
type spanServer struct {
	*httptest.Server

	mu       sync.Mutex
	paths    []string
	spans    []*tracev1.Span
	resource map[string]string
}

func startSpanServer(t *testing.T) *spanServer {
	t.Helper()
	s := &spanServer{resource: map[string]string{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.receive))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	testkit.StartTLS(s.Server)
	t.Cleanup(s.Close)
	return s
}

func (s *spanServer) receive(w http.ResponseWriter, r *http.Request) {
	zip, err := gzip.NewReader(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(zip)
	var message tracev1.TracesData
	if err != nil || proto.Unmarshal(body, &message) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = append(s.paths, r.URL.Path)
	for _, resource := range message.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			s.resource[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, scope := range resource.GetScopeSpans() {
			s.spans = append(s.spans, scope.GetSpans()...)
		}
	}
}

// trace returns the spans of the request for a path, by name.
func (s *spanServer) trace(t *testing.T, path string) map[string]*tracev1.Span {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	isRequest := func(span *tracev1.Span) bool {
		return slices.ContainsFunc(span.GetAttributes(), func(a *commonv1.KeyValue) bool {
			return a.GetKey() == "url.path" && a.GetValue().GetStringValue() == path
		})
	}
	i := slices.IndexFunc(s.spans, isRequest)
	if i < 0 {
		t.Fatalf("no span of %s in %v", path, s.spans)
	}
	all := map[string]*tracev1.Span{}
	for _, span := range s.spans {
		if string(span.GetTraceId()) == string(s.spans[i].GetTraceId()) {
			if all[span.GetName()] != nil {
				t.Errorf("%s has several spans %q", path, span.GetName())
			}
			all[span.GetName()] = span
		}
	}
	return all
}

// TestTracingFlags checks that edge serve sends the spans of a request, of its authentication and of
// its reviews to a collector with TLS, the last ones when it ends, and that reviews and requests name
// their span to the API server.
func TestTracingFlags(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	s := startSpanServer(t)
	b.change = func(e *instance) {
		e.cmd.Env = append(e.cmd.Environ(), "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test,service.version=of-test", "OTEL_SERVICE_NAME=edge-of-test")
	}
	e := b.serve("--token-passthrough", "--tracing-endpoint="+s.URL, "--tracing-ca-file="+b.authority("collector.crt", s.Server), "--tracing-sampling-rate-per-million=1000000")
	const secret = "opaque-token-of-a-service-account"
	e.upstreamOf(secret, "/apis")
	e.upstreamOf(b.token(nil), "/api", "Impersonate-User", "bob")
	for _, token := range []string{"", b.token(nil)} { // a token in a path, of somebody else and of the client
		e.ask(token, "/"+b.token(nil)+"/x")
		e.ask(token, "/"+token)
	}
	e.stop()

	named := func(s *tracev1.Span) string { return fmt.Sprintf("00-%x-%x-01", s.GetTraceId(), s.GetSpanId()) }
	for _, c := range []struct{ path, name, parent, upstream string }{
		{"/apis", "authenticate", "GET", ""},
		{"/apis", "token review", "authenticate", "/apis/authentication.k8s.io/v1/tokenreviews"},
		{"/apis", "API server", "GET", "/apis"},
		{"/api", "authenticate", "GET", ""},
		{"/api", "access review", "GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews"},
		{"/api", "API server", "GET", "/api"},
	} {
		all := s.trace(t, c.path)
		if all[c.name] == nil || string(all[c.name].GetParentSpanId()) != string(all[c.parent].GetSpanId()) {
			t.Errorf("%s: %s is not below %s: %v", c.path, c.name, c.parent, all)
			continue
		}
		if c.upstream == "" {
			continue
		}
		if seen, _ := b.requests(c.upstream); len(seen) != 1 || seen[0].Header.Get("Traceparent") != named(all[c.name]) {
			t.Errorf("%s: %d requests, want one with traceparent %s", c.upstream, len(seen), named(all[c.name]))
		}
	}
	if s.resource["service.name"] != "edge-of-test" || s.resource["deployment.environment.name"] != "test" || s.resource["telemetry.sdk.language"] != "go" || s.resource["service.version"] != "of-test" {
		t.Errorf("the resource is %v", s.resource)
	}
	if slices.ContainsFunc(s.paths, func(path string) bool { return path != tracesPath }) {
		t.Errorf("paths %q", s.paths)
	}
	if text := fmt.Sprint(s.spans); strings.Contains(text, secret) || strings.Contains(text, "of-edge") || strings.Contains(text, "eyJ") || !strings.Contains(text, "/REDACTED") {
		t.Errorf("a credential is in %s", text)
	}
}

// TestTracingEndsWithoutCollector checks that edge ends soon although its collector takes connections
// and never answers, and that its log says so.
func TestTracingEndsWithoutCollector(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	e := b.serve("--tracing-endpoint=http://"+silent.Addr().String(), "--tracing-sampling-rate-per-million=1000000")
	e.upstreamOf(b.token(nil), "/api")
	if err := e.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- e.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err, e.log)
		}
	case <-time.After(bedPatience):
		t.Fatalf("edge has not ended\n%s", e.log)
	}
	if !strings.Contains(e.log.String(), "the last spans could not be sent") {
		t.Error(e.log)
	}
}

// TestTracingFlagErrors checks that edge refuses flags that contradict each other, and that the
// error does not repeat a password.
func TestTracingFlagErrors(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]tracingOptions{
		"must be set with":                     {samplingPerMillion: 1},
		"must be set with --tracing-ca-file":   {caFile: "ca.crt"},
		"-1 is not between":                    {endpoint: "http://c", samplingPerMillion: -1},
		"1000001 is not between":               {endpoint: "http://c", samplingPerMillion: million + 1},
		"must be a URL such as":                {endpoint: "collector:4318"},
		"must be a URL":                        {endpoint: "http://"},
		"--tracing-endpoint: must be":          {endpoint: "http://:4318"},
		"a URL such as":                        {endpoint: "grpc://collector:4317"},
		"URL such as http":                     {endpoint: "http://user:secret@collector:x"},
		"must not have a user":                 {endpoint: "http://user:secret@collector:4318"},
		"must not have a user, a query":        {endpoint: "http://collector:4318?key=secret"},
		"must not have a user, a query or a f": {endpoint: "http://collector:4318#secret"},
		"needs an https":                       {endpoint: "http://collector:4318", caFile: "ca.crt"},
	} {
		err := change.validate()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want %q", change, err, want)
		}
	}
	for endpoint, want := range map[string]string{
		"http://collector:4318": "http://collector:4318/v1/traces", "https://[::1]/": "https://[::1]/v1/traces", "https://collector/otlp/v1/traces": "https://collector/otlp/v1/traces",
	} {
		o := tracingOptions{endpoint: endpoint}
		if err := o.validate(); err != nil {
			t.Error(err)
		}
		if u, err := o.url(); err != nil || u.String() != want {
			t.Errorf("%s: %v, %v", endpoint, u, err)
		}
	}
	for name, file := range map[string]string{"no such file": "missing.crt", "no certificate": "tracing_test.go"} {
		o := tracingOptions{endpoint: "https://collector", caFile: file}
		if _, _, err := o.tracing(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--tracing-ca-file: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if made, end, err := new(tracingOptions).tracing(t.Context(), nil); made != nil || err != nil {
		t.Error(made, err)
	} else {
		end()
	}
}

// failing is an exporter that fails or not, as err says.
type failing struct {
	*tracetest.NoopExporter

	err error
}

func (f *failing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return f.err }

// TestLostSpansAreLoggedSeldom checks that edge says in its log when spans are lost, and when they
// arrive again, and that neither fills the log while the collector is down or comes and goes.
func TestLostSpansAreLoggedSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log testkit.Buffer
		down := errors.New("connection refused")
		to := &failing{tracetest.NewNoopExporter(), nil}
		e := &spanExporter{SpanExporter: to, log: slog.New(slog.NewTextHandler(&log, nil))}
		counts := func() string {
			return fmt.Sprint(strings.Count(log.String(), "could not be sent"), " ", strings.Count(log.String(), "can be sent again"))
		}
		send := func(err error, times int) {
			for range times {
				to.err = err
				if got := e.ExportSpans(t.Context(), nil); got != nil {
					t.Errorf("the SDK gets %v", got)
				}
				time.Sleep(time.Second)
			}
		}
		for _, step := range []struct {
			err   error
			times int
			want  string
		}{
			{nil, 5, "0 0"}, {down, 100, "1 0"}, {nil, 5, "1 1"},
			{down, 1, "1 1"}, {nil, 1, "1 1"}, {down, 1, "1 1"}, {nil, 1, "1 1"}, // it comes and goes
			{down, int(failureInterval / time.Second), "2 1"}, {nil, 1, "2 2"},
		} {
			send(step.err, step.times)
			if got := counts(); got != step.want {
				t.Errorf("lines %s, want %s\n%s", got, step.want, log.String())
			}
		}
		if !strings.Contains(log.String(), "batches=1 ") || !strings.Contains(log.String(), `error="connection refused"`) {
			t.Error(log.String())
		}
	})
}

// TestSpansAreBounded checks that one span holds only the begin of a value that a client has chosen.
func TestSpansAreBounded(t *testing.T) {
	t.Parallel()
	if limits := spanLimits(); limits.AttributeValueLengthLimit != maxAttributeValue || limits.AttributeCountLimit <= 0 || limits.LinkCountLimit <= 0 || limits.EventCountLimit <= 0 {
		t.Errorf("%+v", limits)
	}
}
