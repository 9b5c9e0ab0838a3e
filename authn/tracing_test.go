package authn

import (
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	authenticationv1 "k8s.io/api/authentication/v1"
)

// TestSpansOfTokenReviews checks that each review that is sent has a span, that one from a cache has
// none, and that only a review without an answer counts as failed: a refused token does not.
func TestSpansOfTokenReviews(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	defer provider.Shutdown(t.Context())
	good := &tokenReviews{decide: func(spec authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
		return authenticationv1.TokenReviewStatus{Authenticated: spec.Token == "good", User: authenticationv1.UserInfo{Username: "jane"}}
	}}
	answers := tokenReviewer(t, good)
	broken := tokenReviewer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	for _, c := range []struct {
		reviewer *TokenReviewer
		token    string
		want     string
	}{
		{answers, "good", "token review client"},
		{answers, "good", ""}, // cached
		{answers, "bad", "token review client"},
		{answers, "bad", ""}, // cached
		{answers, "", ""},    // nothing to review
		{broken, "good", "token review client failed"},
		{broken, "good", "token review client failed"}, // not cached
	} {
		spans.Reset()
		ctx, root := provider.Tracer("test").Start(t.Context(), "root")
		_, err := c.reviewer.Review(ctx, c.token)
		var said []string
		for _, s := range spans.GetSpans() {
			line := s.Name + " " + s.SpanKind.String()
			if s.Status.Code == codes.Error {
				line += " failed"
			}
			if s.Parent.SpanID() != root.SpanContext().SpanID() {
				line += " elsewhere"
			}
			said = append(said, line)
		}
		root.End()
		if got := strings.Join(said, ", "); got != c.want {
			t.Errorf("%q (%v): spans %q, want %q", c.token, err, got, c.want)
		}
	}
}
