package bridge

import (
	"net/http"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"edge/bridge/internal/status"
	"edge/impersonate"
	"edge/internal/tracing"
)

// Tracing makes an OpenTelemetry span for each request, see Config.Tracing. The span of a stream
// ends with the 101: frames make no spans. Tracing is an Observer.
type Tracing struct {
	tracer trace.Tracer
	path   func(*url.URL) string
}

// NewTracing returns a Tracing whose spans go to a provider. path returns the path of a URL as spans
// may show it: without tokens.
func NewTracing(provider trace.TracerProvider, path func(*url.URL) string) *Tracing {
	return &Tracing{provider.Tracer(tracing.Scope), path}
}

// Keys of edge's own attributes. auditID is the one that kube-apiserver's spans have.
const (
	auditIDKey attribute.Key = "audit-id"
	refusedKey attribute.Key = "edge.refusal"        // a status.Reason
	sessionKey attribute.Key = "edge.session"        // the session's ID in the log
	dialectKey attribute.Key = "edge.client.dialect" // the client's protocol and subprotocol
)

// maxSpanText is how many bytes of a text that a client has chosen are in a span.
const maxSpanText = 1024

// spanText returns the begin of a text that a client has chosen, as a copy: otherwise a span that
// waits for the collector would keep the whole request line in memory. The text is in UTF-8, because
// protobuf refuses a whole batch of spans for other bytes.
func spanText(s string) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), maxSpanText)]), "\uFFFD")
}

// start begins the span of a request and returns the request with the span in its context. A trusted
// proxy's traceparent names the parent of the span and decides whether it is sampled. Anybody
// else's is only linked: a client must not decide how much edge records. In both cases the client's
// headers do not go upstream; tracedTransport and Cluster.Connect set edge's own. A nil Tracing does
// nothing: the API server gets the client's headers.
func (t *Tracing) start(r *http.Request, trusted trustedProxies) *http.Request {
	if t == nil {
		return r
	}
	ctx := r.Context()
	isTrusted := trusted.isPeer(r)
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	said := tracing.Take(r.Header, isTrusted)
	switch {
	case !said.IsValid():
	case isTrusted:
		ctx = trace.ContextWithRemoteSpanContext(ctx, said)
	default:
		options = append(options, trace.WithLinks(trace.Link{SpanContext: said}))
	}
	ctx, span := t.tracer.Start(ctx, metricVerb(r), options...)
	if span.IsRecording() {
		span.SetAttributes(semconv.URLScheme("https"), semconv.ClientAddress(spanText(ClientIP(r))), method(r.Method))
	}
	return r.WithContext(ctx)
}

// method returns the attribute for a request's method. The conventions allow only known methods. Any
// other is not recorded: a client may choose a token as its method.
func method(name string) attribute.KeyValue {
	switch name {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return semconv.HTTPRequestMethodKey.String(spanText(name))
	}
	return semconv.HTTPRequestMethodOther
}

// Begin implements Observer. The span is in the request's context, see start.
func (t *Tracing) Begin(r *http.Request) Observation {
	span := trace.SpanFromContext(r.Context())
	if span.IsRecording() {
		span.SetAttributes(auditIDKey.String(spanText(r.Header.Get(status.HeaderAuditID))))
	}
	return &tracedRequest{span: span, path: t.path}
}

// tracedRequest is the Observation of Tracing.
type tracedRequest struct {
	span trace.Span // nil: it has ended, with a 101; a session may last for days and must not keep it
	path func(*url.URL) string
}

// Identified records the path now, because the client's token has been removed from it.
func (o *tracedRequest) Identified(r *http.Request, _ impersonate.Identity, _ error) error {
	if o.span.IsRecording() {
		o.span.SetAttributes(semconv.URLPath(spanText(o.path(r.URL))))
	}
	return nil
}

func (o *tracedRequest) Streaming(s Stream) error {
	if o.span.IsRecording() {
		o.span.SetAttributes(sessionKey.String(s.ID), dialectKey.String(s.Downstream))
	}
	return nil
}

func (o *tracedRequest) Started(code int) {
	if code == http.StatusSwitchingProtocols {
		o.end(code, "")
	}
}

func (o *tracedRequest) Ended(end End) {
	if o.span != nil {
		o.end(end.Code, string(end.Refusal))
	}
}

// end ends the span. code 0 means that edge could not answer, for example because the client left.
func (o *tracedRequest) end(code int, refusal string) {
	if o.span.IsRecording() {
		if code != 0 {
			o.span.SetAttributes(semconv.HTTPResponseStatusCode(code))
		}
		if refusal != "" {
			o.span.SetAttributes(refusedKey.String(refusal))
		}
		if code == 0 || code >= http.StatusInternalServerError {
			o.span.SetStatus(codes.Error, "")
		}
	}
	o.span.End()
	o.span = nil
}

// around returns a transport for plain requests that makes a span for each of them, or next itself
// if t is nil.
func (t *Tracing) around(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return tracedTransport{next}
}

// tracedTransport makes a span for each request that goes to the API server, until the header of its
// answer. A request that the transport sends again has one span: the API server did not process
// most of the attempts before, so that they explain only the time, and the metrics count them. For
// streams it is one span per attempt (see upstream.Cluster), because each offers another protocol
// and the API server may answer each.
type tracedTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t tracedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, end := tracing.Call(r.Context(), tracing.Upstream)
	resp, err := tracing.Transport{Next: t.next}.RoundTrip(r.WithContext(ctx))
	code := 0
	if resp != nil {
		code = resp.StatusCode
	}
	end(code, err)
	return resp, err
}
