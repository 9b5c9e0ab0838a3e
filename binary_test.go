package edge

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestBinaryLinksNoGRPC checks that cmd/edge links no gRPC: edge serves and calls HTTP only. Some
// packages of k8s.io/apiserver, such as endpoints/filters, import gRPC, the OTLP exporters and
// konnectivity. That adds 14 modules and 2.5 MB to the binary.
func TestBinaryLinksNoGRPC(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/edge").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := slices.Compact(slices.Sorted(strings.FieldsSeq(string(out))))
	if !slices.Contains(modules, "k8s.io/apiserver") {
		t.Fatalf("the modules of cmd/edge do not contain k8s.io/apiserver: %v", modules)
	}
	for _, module := range modules {
		for _, never := range []string{"google.golang.org/grpc", "github.com/grpc-ecosystem/", "go.opentelemetry.io/otel/exporters/", "go.opentelemetry.io/proto/otlp", "sigs.k8s.io/apiserver-network-proxy/"} {
			if strings.HasPrefix(module, never) {
				t.Errorf("cmd/edge links %s", module)
			}
		}
	}
}
