package edge

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestBinaryLinksNoGRPC: edge speaks HTTP. A package of k8s.io/apiserver that does more than it seems to, such as
// endpoints/filters, brings gRPC, the OTLP exporters and konnectivity with it: 14 modules, 2.5 MB.
func TestBinaryLinksNoGRPC(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/edge").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := slices.Compact(slices.Sorted(strings.FieldsSeq(string(out))))
	if !slices.Contains(modules, "k8s.io/apiserver") {
		t.Fatalf("these are not the modules of cmd/edge: %v", modules)
	}
	for _, module := range modules {
		for _, never := range []string{"google.golang.org/grpc", "github.com/grpc-ecosystem/", "go.opentelemetry.io/otel/exporters/", "go.opentelemetry.io/proto/otlp", "sigs.k8s.io/apiserver-network-proxy/"} {
			if strings.HasPrefix(module, never) {
				t.Errorf("cmd/edge links %s", module)
			}
		}
	}
}
