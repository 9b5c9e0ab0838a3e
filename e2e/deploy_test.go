package e2e

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"edge/e2e/testbed/cluster"
)

// TestDeployManifest checks that both clusters accept the manifests in deploy/ unchanged. The API
// server validates the objects but stores none of them (dry run); the namespace, the account and
// the roles exist already.
func TestDeployManifest(t *testing.T) {
	var objects []*unstructured.Unstructured
	for _, name := range []string{"edge.yaml", "options.yaml"} {
		some, err := cluster.Manifest(name)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, some...)
	}
	kinds := map[string]bool{}
	for _, o := range objects {
		kinds[o.GetKind()] = true
	}
	for _, kind := range []string{"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment", "Service"} {
		if !kinds[kind] {
			t.Errorf("deploy/ contains no %s", kind)
		}
	}
	forEachSite(t, func(t *testing.T, s *site) {
		for _, o := range objects {
			if err := s.cluster.Apply(t.Context(), true, o); err != nil {
				t.Error(err)
			}
		}
	})
}
