package testbed

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"edge/e2e/testbed/run"
)

// Collector is the OTLP receiver of the OpenTelemetry Collector. A test can stop it and start it
// again at the same addresses.
type Collector struct {
	HTTP string // URL for OTLP over HTTP
	GRPC string // HOST:PORT for OTLP over gRPC

	dir     string
	argv    []string
	process *run.Process
}

// Span contains those fields of a received span that the tests use.
type Span struct {
	TraceID, SpanID, ParentSpanID string
	Name                          string
	Kind                          int // as in OTLP: 1 internal, 2 server, 3 client
	Service                       string
	Attributes                    map[string]string // numbers are written in decimal
	Links                         []SpanLink
}

// SpanLink names a span that a Span has a link to.
type SpanLink struct{ TraceID, SpanID string }

// StartCollector starts a collector and returns when it receives spans.
func (tb *Testbed) StartCollector(ctx context.Context) (*Collector, error) {
	web, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	grpc, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	c := &Collector{HTTP: "http://" + run.Loopback(web), GRPC: run.Loopback(grpc), dir: filepath.Join(tb.Dir, fmt.Sprintf("collector-%d", web))}
	c.argv = []string{tb.Bin.Otelcol, "--http=" + run.Loopback(web), "--grpc=" + c.GRPC}
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		return nil, err
	}
	tb.OnClose(c.Stop)
	return c, c.Start(ctx)
}

// Start starts the collector and returns when it receives spans.
func (c *Collector) Start(ctx context.Context) error {
	p, err := run.Spawn(c.dir, "collector", c.argv)
	if err != nil {
		return err
	}
	c.process = p
	return run.Until(ctx, run.StartupTime, "collector", func(ctx context.Context) error {
		for _, address := range []string{strings.TrimPrefix(c.HTTP, "http://"), c.GRPC} {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			conn.Close()
		}
		return nil
	}, p)
}

// Stop ends the collector.
func (c *Collector) Stop() {
	if c.process != nil {
		c.process.Stop(5 * time.Second)
	}
}

// Spans returns all spans that the collector has received.
func (c *Collector) Spans() ([]Span, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, "collector.log"))
	if err != nil {
		return nil, err
	}
	var all []Span
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		// The other lines are the collector's own log.
		if !bytes.HasPrefix(lines.Bytes(), []byte(`{"resourceSpans"`)) {
			continue
		}
		var batch otlpBatch
		if err := json.Unmarshal(lines.Bytes(), &batch); err != nil {
			return nil, fmt.Errorf("testbed: spans of the collector: %w", err)
		}
		all = append(all, batch.spans()...)
	}
	return all, lines.Err()
}

// otlpBatch is the JSON of OTLP
// (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
type otlpBatch struct {
	ResourceSpans []struct {
		Resource   struct{ Attributes otlpAttributes }
		ScopeSpans []struct {
			Spans []struct {
				TraceID, SpanID, ParentSpanID string
				Name                          string
				Kind                          int
				Attributes                    otlpAttributes
				Links                         []SpanLink
			}
		}
	}
}

type otlpAttributes []struct {
	Key   string
	Value struct {
		StringValue string
		IntValue    string
	}
}

func (a otlpAttributes) values() map[string]string {
	values := map[string]string{}
	for _, one := range a {
		values[one.Key] = one.Value.StringValue + one.Value.IntValue
	}
	return values
}

func (b otlpBatch) spans() (all []Span) {
	for _, r := range b.ResourceSpans {
		service := r.Resource.Attributes.values()["service.name"]
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				all = append(all, Span{
					TraceID: s.TraceID, SpanID: s.SpanID, ParentSpanID: s.ParentSpanID, Name: s.Name, Kind: s.Kind,
					Service: service, Attributes: s.Attributes.values(), Links: s.Links,
				})
			}
		}
	}
	return all
}
