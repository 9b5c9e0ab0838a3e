package edge

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestBinaryLinksNoGRPC checks that cmd/edge links no gRPC: edge serves and calls HTTP only. Some
// packages of k8s.io/apiserver, such as endpoints/filters, import gRPC, the OTLP exporters and
// konnectivity. That adds 14 modules and 2.5 MB to the binary. OpenTelemetry's exporter otlptracehttp
// imports gRPC with the generated services of a collector, and adds 2.1 MB; edge has internal/otlp
// instead. Of OTLP, edge links only the messages of spans and what converts to them.
func TestBinaryLinksNoGRPC(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{$.ImportPath}}{{end}}", "./cmd/edge").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	allowed := []string{
		"go.opentelemetry.io/otel/exporters/otlp/otlptrace",
		"go.opentelemetry.io/otel/exporters/otlp/otlptrace/internal/tracetransform",
		"go.opentelemetry.io/proto/otlp/common/v1",
		"go.opentelemetry.io/proto/otlp/resource/v1",
		"go.opentelemetry.io/proto/otlp/trace/v1",
	}
	for _, linked := range append(allowed, "k8s.io/apiserver/pkg/authentication/user") {
		if !slices.Contains(packages, linked) {
			t.Errorf("cmd/edge does not link %s: the list of packages is wrong", linked)
		}
	}
	for _, linked := range packages {
		for _, never := range []string{"google.golang.org/grpc", "github.com/grpc-ecosystem/", "go.opentelemetry.io/otel/exporters/", "go.opentelemetry.io/proto/otlp", "sigs.k8s.io/apiserver-network-proxy/"} {
			if strings.HasPrefix(linked, never) && !slices.Contains(allowed, linked) {
				t.Errorf("cmd/edge links %s", linked)
			}
		}
	}
}
