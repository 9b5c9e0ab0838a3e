package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// almighty starts an edge with cluster-admin rights. Then RBAC does not limit which extra keys edge
// may impersonate.
func almighty(t *testing.T, s *site, args ...string) attacked {
	t.Helper()
	ctx, name := t.Context(), "almighty-edge"
	accounts := s.cluster.Client.CoreV1().ServiceAccounts("kube-system")
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := s.cluster.Client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "kube-system", Name: name}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := bed.StartRecorder(ctx, s.cluster)
	if err != nil {
		t.Fatal(err)
	}
	to := recorder.Access()
	to.Token = token.Status.Token
	file, err := bed.Kubeconfig(to)
	if err != nil {
		t.Fatal(err)
	}
	edge := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp, Args: append(args, "--kubeconfig="+file)})
	return attacked{edge, recorder}
}

// TestExtraKeyRoundTrip checks the key of an Impersonate-Extra-* header in every spelling. The key
// in edge's access review must be the key that the API server reads from the request that edge
// forwards, and from the same request without edge. Otherwise edge must refuse the request.
func TestExtraKeyRoundTrip(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		a := almighty(t, s)
		everywhere(t, s.cluster, "extras",
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"users"}, ResourceNames: []string{testbed.UsernamePrefix + "alice"}, Verbs: []string{"impersonate"}},
			rbacv1.PolicyRule{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"impersonate"}},
		)
		to := a.as(minted(t, idp, map[string]any{"preferred_username": "extra", "groups": []string{"extras"}}))
		own, err := s.cluster.UserAccess(testbed.UsernamePrefix+"extra", testbed.GroupsPrefix+"extras")
		if err != nil {
			t.Fatal(err)
		}
		passed := 0
		for i, written := range []string{
			"scopes", "Scopes", "SCOPES", "example.com%2fteam", "Example.com%2FTeam", "a%25b", "a%252fb", "%25", "%2525", "gr%c3%bc%c3%9fe", "GR%C3%9C", "%e2%98%ba", "a%20b", "a%0d%0ab", "a%00b",
			"%41bc", "%C3", "%zz", "%", "a%", "a%2", "a%2g", "a+b", "a_b", "a.b", "a|b", "a~b", "!#$&'*+-.^_`|~", "%2f", "%2e%2e%2f", "a%2f%2fb", "a%3fb", "a%23b", "a%3a", "%c4%b0", "%e1%ba%9e",
			"authentication.kubernetes.io%2fcredential-id", "authentication.kubernetes.io%2fpod-name",
		} {
			uri := fmt.Sprintf("%s?limit=1&extrakey=%s-%d", podsURI, s.cluster.Kind, i)
			// Each request has another value of the header, because edge caches the results of
			// access reviews.
			lines := []string{"Impersonate-User: " + testbed.UsernamePrefix + "alice", fmt.Sprintf("Impersonate-Extra-%s: v%d", written, i)}
			a.recorder.Forget()
			got := raw(t.Context(), t, to, "GET", uri+"&by=edge", lines...)
			if got.code == http.StatusBadRequest {
				a.nothing(t, written)
				continue
			}
			directly := raw(t.Context(), t, own, "GET", uri+"&by=itself", lines...)
			through, bare := s.keysRead(t, uri+"&by=edge"), s.keysRead(t, uri+"&by=itself")
			if len(bare) != 1 || !slices.Equal(through, bare) {
				t.Errorf("%s: the API server read %q through edge (%v), and %q by itself (%v)", written, through, got, bare, directly)
				continue
			}
			asked := map[string]bool{}
			for _, head := range a.recorder.Heads() {
				if review, ok := accessReview(head); ok && review.ResourceAttributes != nil && review.ResourceAttributes.Resource == "userextras" {
					asked[review.ResourceAttributes.Subresource] = true
				}
			}
			if keys := slices.Sorted(maps.Keys(asked)); !slices.Equal(keys, bare) {
				t.Errorf("%s: reviewed %q, and the API server reads %q", written, keys, bare)
			}
			passed++
		}
		if passed < 10 {
			t.Errorf("only %d keys passed", passed)
		}
	})
}

// keysRead returns the extra keys of the impersonated user in the API server's audit event for uri,
// without the keys in which edge records the original user.
func (s *site) keysRead(t *testing.T, uri string) []string {
	t.Helper()
	e, err := s.cluster.WaitAudit(t.Context(), func(e cluster.AuditEvent) bool { return e.RequestURI == uri && e.Stage == "ResponseComplete" })
	if err != nil || e.ImpersonatedUser == nil {
		t.Fatalf("%s: %v, %+v", uri, err, e)
	}
	var keys []string
	for key := range e.ImpersonatedUser.Extra {
		if !strings.HasPrefix(key, "originaluser.jetstack.io-") {
			keys = append(keys, key)
		}
	}
	return slices.Sorted(slices.Values(keys))
}
