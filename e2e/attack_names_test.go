package e2e

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// everywhere creates a ClusterRole with these rules and binds the role to a group of the issuer, in
// the whole cluster.
func everywhere(t *testing.T, c *cluster.Cluster, group string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	meta, rbac := metav1.ObjectMeta{Name: group}, c.Client.RbacV1()
	if _, err := rbac.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: group},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: testbed.GroupsPrefix + group}},
	}
	if _, err := rbac.ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestImpersonateNames checks header names that start with "impersonate". edge must send an access
// review for such a header, or refuse the request.
func TestImpersonateNames(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		a := attack(t, s.cluster.Kind)
		everywhere(t, s.cluster, "deputies", rbacv1.PolicyRule{
			APIGroups: []string{""}, Resources: []string{"users"}, ResourceNames: []string{testbed.UsernamePrefix + "bob"}, Verbs: []string{"impersonate"},
		})
		bob := "Impersonate-User: " + testbed.UsernamePrefix + "bob"
		deputy := a.as(minted(t, idp, map[string]any{"preferred_username": "deputy", "groups": []string{"deputies", "ops", "dev"}}))
		for code, forgeries := range map[int][][]string{
			http.StatusBadRequest: {
				{"Impersonate-Something: else"}, {"Impersonate: admin"}, {"Impersonate-: admin"}, {"ImpersonateUser: admin"}, {"Impersonate-Users: admin"},
				{"Impersonate-User-Name: admin"}, {"impersonate-uids: 1"}, {"IMPERSONATE-GROUPS: system:masters"}, {"Impersonate-Extra: all"}, {"Impersonate.User: admin"},
				{"Impersonate-Group: system:masters"}, {"impersonate-group: a", "Impersonate-Group: system:masters"}, {"Impersonate-Uid: 1"}, {"Impersonate-Extra-Scopes: all"},
				{"Impersonate-Group: system:masters", "Connection: Impersonate-Group"},
				{"Impersonate-User: ", "Impersonate-Group: system:masters"},
				{bob, "Impersonate-User: admin"}, {"Impersonate-User: admin", bob}, {bob, "Impersonate-Uid: 1", "Impersonate-Uid: 2"},
				{bob, "Impersonate-Something: else"}, {bob, "Impersonate-Extra-: nothing"},
			},
			http.StatusForbidden: {
				{"Impersonate-User: admin"}, {"impersonate-user: admin"}, {"IMPERSONATE-USER: admin"}, {"Impersonate-User: admin", "Connection: Impersonate-User"},
				{"Impersonate-User: system:admin"}, {"Impersonate-User: system:serviceaccount:kube-system:default"}, {"Impersonate-User: admin", "Impersonate-Group: system:masters"},
				{bob, "Impersonate-Group: system:masters"}, {bob, "impersonate-group: a", "IMPERSONATE-GROUP: system:masters"}, {bob, "Impersonate-Group: system:masters", "Connection: Impersonate-Group"},
				{bob, "Impersonate-Uid: 1"}, {bob, "Impersonate-Extra-Scopes: all"}, {bob, "impersonate-extra-scopes: all"}, {bob, "Impersonate-Extra-Originaluser.jetstack.io-User: admin"},
			},
		} {
			for _, lines := range forgeries {
				for _, ask := range asks {
					got := ask.do(t, deputy, lines...)
					refused := got.code == code
					if code == http.StatusForbidden && strings.Contains(strings.Join(lines, ""), "Originaluser") {
						refused = got.code == http.StatusBadRequest || got.code == http.StatusForbidden
					}
					if !refused || got.status().Code != int32(got.code) {
						t.Errorf("%s, %q: %v, want %d with a Status", ask.name, lines, got, code)
					}
					a.nothing(t, strings.Join(lines, ", "))
				}
			}
		}
		// If the impersonation is allowed, the API server receives only bob's identity and edge's
		// record of the original user.
		want := http.Header{
			"Impersonate-User": {testbed.UsernamePrefix + "bob"},
			"Impersonate-Extra-Originaluser.jetstack.io-User":   {testbed.UsernamePrefix + "deputy"},
			"Impersonate-Extra-Originaluser.jetstack.io-Groups": {testbed.GroupsPrefix + "deputies", testbed.GroupsPrefix + "ops", testbed.GroupsPrefix + "dev"},
		}
		for _, lines := range [][]string{{bob}, {bob, bob}, {strings.ToLower(bob)}, {bob, "Connection: Impersonate-User"}} {
			for _, ask := range asks {
				a.recorder.Forget()
				ask.do(t, deputy, lines...)
				heads := a.requests()
				if len(heads) != 1 {
					t.Errorf("%s, %q: %d requests upstream", ask.name, lines, len(heads))
					continue
				}
				said := http.Header{}
				for name, values := range heads[0].Header {
					if strings.HasPrefix(name, "Impersonate") {
						said[name] = values
					}
				}
				if !reflect.DeepEqual(said, want) {
					t.Errorf("%s, %q: upstream saw\n\t%v\nwant\n\t%v", ask.name, lines, said, want)
				}
			}
		}
	})
}

// TestUnderscoreAlias checks that edge neither interprets nor forwards header names with "_"
// instead of "-", which some servers treat as equal.
func TestUnderscoreAlias(t *testing.T) {
	t.Parallel()
	a := attack(t, cluster.New)
	to := a.as(tokens["alice"])
	for _, ask := range asks {
		for _, alias := range []string{
			"Impersonate_User: admin", "impersonate_group: system:masters", "Impersonate_Uid: 1", "Impersonate-Extra_Scopes: all", "Impersonate_Extra-Scopes: all", "IMPERSONATE_USER: admin",
		} {
			if got := ask.do(t, to, alias); got.code != http.StatusBadRequest {
				t.Errorf("%s, %s: %v, want 400", ask.name, alias, got)
			}
			a.nothing(t, alias)
		}
		a.recorder.Forget()
		got := ask.do(t, to, "X_Forwarded_For: 6.6.6.6", "X-Forwarded_For: 6.6.6.6", "x_real_ip: 6.6.6.6", "X_Remote_User: admin", "X_Remote_Group: system:masters", "X_Forwarded_Host: evil.example")
		if got.code != ask.code {
			t.Errorf("%s: %v, want %d", ask.name, got, ask.code)
		}
		checkHeads(t, ask.name, a.requests(), ask.upstream)
		a.recorder.Forget()
	}
	// edge must not accept credentials in headers whose names contain "_" instead of "-".
	nobody := a.as("")
	for _, alias := range []string{"Authorization_: Bearer ", "HTTP_AUTHORIZATION: Bearer ", "Proxy-Authorization: Bearer ", "X_Authorization: Bearer "} {
		if got := raw(t.Context(), t, nobody, "GET", podsURI, alias+tokens["alice"]); got.code != http.StatusUnauthorized {
			t.Errorf("%s: %v, want 401", alias, got)
		}
	}
	a.nothing(t, "no credential")
}
