package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// TestThousandGroups checks a user with 1,000 groups, and a user who impersonates another user with
// 1,000 groups, for each of which edge needs an access review. edge must serve both requests, and
// the API server must see all groups.
func TestThousandGroups(t *testing.T) {
	t.Parallel()
	heavy <- struct{}{}
	defer func() { <-heavy }()
	const many, name = 1000, "member-of-many"
	groups := make([]string, many)
	prefixed := make([]string, many)
	for i := range groups {
		groups[i] = fmt.Sprintf("group-%04d", i)
		prefixed[i] = testbed.GroupsPrefix + groups[i]
	}
	s := sites[cluster.New]
	token := minted(t, idp, map[string]any{"preferred_username": name, "groups": groups})
	to := s.edge.Access(token)

	seen := func(as rest.ImpersonationConfig, want []string) {
		t.Helper()
		// Repeat the requests until they succeed, because the API server applies a new role binding
		// only after a moment.
		eventually(t.Context(), t, patience, "who has "+as.UserName, func(ctx context.Context) error {
			user, err := whoAmI(ctx, clientAs(t, to, as))
			if want := append(slices.Clone(want), "system:authenticated"); err == nil && !slices.Equal(user.Groups, want) {
				err = fmt.Errorf("the API server sees %d groups of %q, want %d", len(user.Groups), user.Username, len(want))
			}
			return err
		})
	}
	seen(rest.ImpersonationConfig{}, prefixed)

	allowToImpersonate(t, s.cluster.Client, "many-groups", testbed.UsernamePrefix+name)
	seen(rest.ImpersonationConfig{UserName: "somebody"}, nil)
	seen(rest.ImpersonationConfig{UserName: "somebody", Groups: groups}, groups)
}

// allowToImpersonate grants a user the right to impersonate all users and groups, until the test
// ends.
func allowToImpersonate(t *testing.T, client kubernetes.Interface, name, user string) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: name}
	role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"users", "groups"}, Verbs: []string{"impersonate"}},
	}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{rbacUser(user)},
	}
	rbac := client.RbacV1()
	if _, err := rbac.ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		rbac.ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{})
		rbac.ClusterRoles().Delete(ctx, name, metav1.DeleteOptions{})
	})
	if _, err := rbac.ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
