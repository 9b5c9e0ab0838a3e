// Package tracing begins OpenTelemetry spans below the span of a request. The span of the context
// knows where spans go, so no other package of edge needs a tracer:
//
//	ctx, end := tracing.Begin(ctx, "authenticate")
//	err := authenticate(ctx)
//	end(err)
//
// Without a span in the context, or with one that is not sampled, this costs two calls and no
// allocation.
package tracing

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
)

// Scope is the name of the instrumentation in every span of edge.
const Scope = "edge"

// Names of spans. They are few and fixed: collectors group spans by name.
const (
	Authenticate = "authenticate"
	AccessReview = "access review"
	TokenReview  = "token review"
	SessionStart = "session start"
	Upstream     = "API server" // a client's request to the API server
)

// Begin begins a span below the span of ctx, and returns its context and a function that ends it. A
// non-nil error marks the span as failed; its text is not recorded, because errors of libraries may
// quote a credential.
func Begin(ctx context.Context, name string) (context.Context, func(error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, ignore
	}
	ctx, span := parent.TracerProvider().Tracer(Scope).Start(ctx, name) //nolint:spancheck // the caller ends it
	return ctx, func(err error) {                                       //nolint:spancheck // the caller ends it
		if err != nil {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Call works like Begin, for a request to another server. The function that ends the span also
// takes the status code of the answer; 0: there is no answer, or its code is unknown.
func Call(ctx context.Context, name string) (context.Context, func(code int, err error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, ignoreAnswer
	}
	ctx, span := parent.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient)) //nolint:spancheck // the caller ends it
	return ctx, func(code int, err error) {                                                                       //nolint:spancheck // the caller ends it
		if code != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(code))
		}
		// The conventions call each 4xx a failed call. Here 404 and 409 are everyday answers, which
		// edge passes on, so only 5xx is marked.
		if err != nil || code >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

func ignore(error)            {}
func ignoreAnswer(int, error) {}

// Keys of http.Header for a trace (https://www.w3.org/TR/trace-context/ and
// https://www.w3.org/TR/baggage/).
const (
	traceparent = "Traceparent"
	tracestate  = "Tracestate"
	baggage     = "Baggage"
)

// Take removes the trace of a client from a header, and returns it: the client's span, and whether
// the client's trace is sampled. The result is not valid if the header names no trace or is
// malformed. Baggage stays in the header if the client is trusted; edge itself reads and adds none.
func Take(h http.Header, trusted bool) trace.SpanContext {
	parents, states := h[traceparent], h[tracestate]
	delete(h, traceparent)
	delete(h, tracestate)
	if !trusted {
		delete(h, baggage)
		states = nil
	}
	if len(parents) != 1 { // several lines do not say which trace is meant
		return trace.SpanContext{}
	}
	// The state may have several lines, which belong together like one.
	said := propagation.MapCarrier{"traceparent": parents[0], "tracestate": strings.Join(states, ",")}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), said))
}

// Inject sets the header traceparent of a request to the span of ctx, so that the server continues
// the trace. Without a span it does nothing.
func Inject(ctx context.Context, h http.Header) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	}
}

// Transport sends requests whose header traceparent names the span of their context.
type Transport struct{ Next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !trace.SpanContextFromContext(r.Context()).IsValid() {
		return t.Next.RoundTrip(r)
	}
	r = r.Clone(r.Context()) // a RoundTripper must not change the request
	Inject(r.Context(), r.Header)
	return t.Next.RoundTrip(r)
}
