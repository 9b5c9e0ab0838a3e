// Command otelcol is the OTLP receiver of the OpenTelemetry Collector, in a small host. It writes the
// spans that it receives to standard output in the JSON of OTLP, one batch a line. A whole Collector
// (go.opentelemetry.io/collector/otelcol) adds its own telemetry, configuration and pipelines, which
// no test needs, and 40 seconds of CPU to the build.
//
//	otelcol --http=127.0.0.1:4318 --grpc=127.0.0.1:4317
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

func main() {
	http := flag.String("http", "", "HOST:PORT for OTLP over HTTP")
	grpc := flag.String("grpc", "", "HOST:PORT for OTLP over gRPC")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *http, *grpc); err != nil {
		log.Fatal(err)
	}
}

// run receives spans until ctx ends.
func run(ctx context.Context, http, grpc string) error {
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	protocols := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"http": map[string]any{"endpoint": http},
		"grpc": map[string]any{"endpoint": grpc},
	}})
	if err := protocols.Unmarshal(config); err != nil {
		return err
	}
	logger, err := zap.NewProduction() // to standard error
	if err != nil {
		return err
	}
	next, err := consumer.NewTraces(write)
	if err != nil {
		return err
	}
	settings := receiver.Settings{
		ID: component.NewID(factory.Type()),
		TelemetrySettings: component.TelemetrySettings{
			Logger: logger, TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), Resource: pcommon.NewResource(),
		},
		BuildInfo: component.BuildInfo{Command: "otelcol", Version: "0.165.0"},
	}
	otlp, err := factory.CreateTraces(ctx, settings, config, next)
	if err != nil {
		return err
	}
	if err := otlp.Start(ctx, host{}); err != nil {
		return err
	}
	<-ctx.Done()
	return otlp.Shutdown(context.Background())
}

// write writes a batch of spans. The receiver answers its client after that. A line is one Write, so
// that lines of several batches do not mix.
func write(_ context.Context, spans ptrace.Traces) error {
	line, err := new(ptrace.JSONMarshaler).MarshalTraces(spans)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(line, '\n'))
	return err
}

// host is the receiver's host. It has no extensions.
type host struct{}

// GetExtensions implements component.Host.
func (host) GetExtensions() map[component.ID]component.Component { return nil }
