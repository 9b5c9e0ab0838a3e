package e2e

import (
	"reflect"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// extra sends a request of the test case's user through the edge e. It returns the user's extra
// fields in the API server's audit log.
func (k *kop) extra(e *testbed.Edge) map[string][]string {
	k.Helper()
	k.mayNot(k.user(e), "pods")
	event, err := k.s.cluster.WaitAudit(k.Context(), func(e cluster.AuditEvent) bool {
		return strings.Contains(e.RequestURI, k.namespace) && e.ImpersonatedUser != nil && e.ImpersonatedUser.Username == kopUser
	})
	if err != nil {
		k.Fatal(err)
	}
	return event.ImpersonatedUser.Extra
}

func kopNoExtraHeaders(k *kop) {
	if got := k.extra(k.s.edge); len(got) != 0 {
		k.Errorf("extra %v, want none", got)
	}
}

func kopExtraHeaders(k *kop) {
	k.grantOptions()
	k.grantEverywhere(edgeItself, rbacv1.PolicyRule{
		APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"userextras/key1", "userextras/key2"}, Verbs: []string{"impersonate"},
	})
	e := k.edge("--extra-user-header-client-ip", "--extra-user-headers=key1=foo,key2=foo,key1=bar")
	want := map[string][]string{"key1": {"foo", "bar"}, "key2": {"foo"}, "remote-client-ip": {"127.0.0.1"}}
	if got := k.extra(e); !reflect.DeepEqual(got, want) {
		k.Errorf("extra %v, want %v", got, want)
	}
}
