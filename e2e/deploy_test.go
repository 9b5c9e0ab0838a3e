package e2e

import (
	"testing"

	"edge/e2e/testbed"
)

// TestDeployManifest: both clusters accept deploy/edge.yaml as it is. Its namespace, account and roles are there already.
func TestDeployManifest(t *testing.T) {
	objects, err := testbed.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, o := range objects {
		kinds[o.GetKind()] = true
	}
	for _, kind := range []string{"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment", "Service"} {
		if !kinds[kind] {
			t.Errorf("no %s", kind)
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
