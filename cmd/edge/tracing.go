package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"

	"edge/audit"
	"edge/bridge"
	"edge/internal/otlp"
)

// tracingOptions configure where spans go.
type tracingOptions struct {
	endpoint           string
	caFile             string
	samplingPerMillion int
}

const (
	// tracesPath is the path of OTLP over HTTP that is added to an endpoint without a path.
	tracesPath = "/v1/traces"
	million    = 1_000_000
	// batchDelay is how long a span waits for others at most.
	batchDelay = 5 * time.Second
	// exportTimeout limits one batch of spans, with its retries.
	exportTimeout = 30 * time.Second
	// flushTimeout limits the export of the last spans when edge ends.
	flushTimeout = 5 * time.Second
	// maxQueuedSpans and maxBatchSpans limit the spans that wait for the collector, and those of one
	// request to it. Further spans are dropped.
	maxQueuedSpans = 2048
	maxBatchSpans  = 512
	// maxAttributeValue limits the characters of one value, because a client chooses the length of a
	// path and of an Audit-ID. With maxQueuedSpans it bounds the memory of the queue.
	maxAttributeValue = 1024
	// failureInterval is the least time between two log lines about spans that could not be sent.
	failureInterval = 5 * time.Minute
	// maxCollectorHeader limits the bytes of the header of a collector's answer.
	maxCollectorHeader = 64 << 10
)

func (o *tracingOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.endpoint, "tracing-endpoint", o.endpoint, "URL of an OpenTelemetry collector that receives spans with OTLP over HTTP, for example http://collector:4318. /v1/traces is added to a URL without a path. Empty: no spans.")
	fs.StringVar(&o.caFile, "tracing-ca-file", o.caFile, "File with the certificate authorities of an https --tracing-endpoint, PEM. edge reads it once. Empty: those of the system.")
	fs.IntVar(&o.samplingPerMillion, "tracing-sampling-rate-per-million", o.samplingPerMillion, "How many of a million requests make spans. A request with a traceparent header from one of --trusted-proxies follows the decision in that header instead.")
}

func (o *tracingOptions) validate() error {
	switch {
	case o.endpoint == "" && (o.caFile != "" || o.samplingPerMillion != 0):
		return errors.New("--tracing-endpoint: must be set with --tracing-ca-file or --tracing-sampling-rate-per-million")
	case o.samplingPerMillion < 0 || o.samplingPerMillion > million:
		return fmt.Errorf("--tracing-sampling-rate-per-million: %d is not between 0 and 1000000", o.samplingPerMillion)
	case o.endpoint == "":
		return nil
	}
	u, err := o.url()
	if err == nil && o.caFile != "" && u.Scheme != "https" {
		err = errors.New("--tracing-ca-file: needs an https --tracing-endpoint")
	}
	return err
}

// url returns the URL to which spans are sent. Its errors do not contain the flag's value, which may
// have a password.
func (o *tracingOptions) url() (*url.URL, error) {
	u, err := url.Parse(o.endpoint)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("--tracing-endpoint: must be a URL such as http://collector:4318")
	// Such parts would be in the log when the collector does not answer.
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("--tracing-endpoint: must not have a user, a query or a fragment")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	return u, nil
}

// transport returns a transport to the collector.
func (o *tracingOptions) transport() (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is documented
	t.MaxResponseHeaderBytes = maxCollectorHeader
	if o.caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(o.caFile)
	if err != nil {
		return nil, fmt.Errorf("--tracing-ca-file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--tracing-ca-file: %s has no PEM certificate", o.caFile)
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return t, nil
}

// tracing returns what makes the spans, or nil, and a function that sends the last ones.
func (o *tracingOptions) tracing(ctx context.Context, log *slog.Logger) (t *bridge.Tracing, end func(), err error) {
	if o.endpoint == "" {
		return nil, func() {}, nil
	}
	endpoint, err := o.url()
	if err != nil {
		return nil, nil, err
	}
	via, err := o.transport()
	if err != nil {
		return nil, nil, err
	}
	// These two are global to the process: only an edge process sets them. Without them, the SDK
	// writes to stderr.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("tracing", "error", err.Error()) }))
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	res, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("edge"), semconv.ServiceVersion(buildVersion())),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // the last one, so that OTEL_SERVICE_NAME has its usual effect
	)
	if err != nil {
		return nil, nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// Do not follow redirects: spans are meant for one host.
	client := otlp.NewClient(endpoint.String(), &http.Client{
		Transport: via, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&spanExporter{SpanExporter: otlptrace.NewUnstarted(client), log: log},
			sdktrace.WithMaxQueueSize(maxQueuedSpans), sdktrace.WithMaxExportBatchSize(maxBatchSpans),
			sdktrace.WithBatchTimeout(batchDelay), sdktrace.WithExportTimeout(exportTimeout)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(float64(o.samplingPerMillion)/million))),
		sdktrace.WithRawSpanLimits(spanLimits()),
		sdktrace.WithResource(res),
	)
	return bridge.NewTracing(provider, audit.LoggedPath), func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("the last spans could not be sent", "error", err.Error())
		}
		client.Abort() // after flushTimeout the provider still tries in the background
	}, nil
}

func spanLimits() sdktrace.SpanLimits {
	limits := sdktrace.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 || limits.AttributeValueLengthLimit > maxAttributeValue {
		limits.AttributeValueLengthLimit = maxAttributeValue
	}
	return limits
}

// spanExporter logs when spans cannot be sent, and when they can be sent again: at most one line each
// in failureInterval, because a collector may be down for days.
type spanExporter struct {
	sdktrace.SpanExporter

	log *slog.Logger

	mu       sync.Mutex
	failures int       // batches that failed since the last log line about it
	logged   time.Time // time of that line
	told     bool      // that line is the last one
}

// ExportSpans implements sdktrace.SpanExporter. It returns no error, because it logs it.
func (e *spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		if e.told {
			e.told = false
			e.log.Info("spans can be sent again")
		}
		return nil
	}
	e.failures++
	if now := time.Now(); e.logged.IsZero() || now.Sub(e.logged) >= failureInterval {
		e.log.Warn("spans could not be sent", "batches", e.failures, "error", err.Error())
		e.failures, e.logged, e.told = 0, now, true
	}
	return nil
}
