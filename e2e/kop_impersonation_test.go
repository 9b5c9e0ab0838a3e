package e2e

import (
	"context"
	"reflect"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// The names that the user of a test case may impersonate after a call of the method mayBe. The
// client sends these names itself, so edge adds no prefix to them.
const (
	okUser  = "ok-to-impersonate@nodomain.dev"
	okGroup = "ok-to-impersonate-group"
	okExtra = "oktoimpersonateextra"
)

// edgeItself is the service account under which edge sends requests, as in deploy/edge.yaml.
var edgeItself = rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "edge", Namespace: "edge"}

// mayBe grants a user the right to impersonate okUser, okGroup and okExtra. For uids and extras,
// kube-oidc-proxy checks rights in another API group than kube-apiserver; edge checks those that
// kube-apiserver checks.
func (k *kop) mayBe(user string) {
	k.Helper()
	k.grantEverywhere(rbacUser(user),
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"users"}, ResourceNames: []string{okUser}, Verbs: []string{"impersonate"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"groups"}, ResourceNames: []string{okGroup}, Verbs: []string{"impersonate"}},
		rbacv1.PolicyRule{
			APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"userextras/" + okExtra}, ResourceNames: []string{"foo"},
			Verbs: []string{"impersonate"},
		})
}

func kopImpersonate(k *kop) {
	name, token := k.impersonator()
	k.mayBe(name)
	k.grantEverywhere(edgeItself, rbacv1.PolicyRule{
		APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"userextras/" + okExtra}, Verbs: []string{"impersonate"},
	})
	k.grant("pods", rbacGroup(okGroup))
	to := k.s.edge.Access(token)
	k.may(clientAs(k.T, to, rest.ImpersonationConfig{UserName: okUser, Groups: []string{okGroup}}), "pods")

	client := clientAs(k.T, to, rest.ImpersonationConfig{
		UserName: okUser, Groups: []string{okGroup}, Extra: map[string][]string{okExtra: {"foo"}},
	})
	k.may(client, "pods")
	user, err := whoAmI(k.Context(), client)
	if err != nil {
		k.Fatal(err)
	}
	if user.Username != okUser || !reflect.DeepEqual(user.Groups, []string{okGroup, "system:authenticated"}) || user.UID != "" {
		k.Errorf("the API server sees %+v", user)
	}
	// Besides the identity that the client requested, the extra fields may contain only edge's
	// record of the original user.
	requestor := user.Extra["originaluser.jetstack.io-groups"]
	delete(user.Extra, "originaluser.jetstack.io-groups")
	if err := has(requestor, testbed.GroupsPrefix+"group-1", testbed.GroupsPrefix+"group-2"); err != nil {
		k.Error("the requestor's groups:", err)
	}
	got := map[string][]string{}
	for key, values := range user.Extra {
		got[key] = values
	}
	if want := map[string][]string{okExtra: {"foo"}, "originaluser.jetstack.io-user": {name}}; !reflect.DeepEqual(got, want) {
		k.Errorf("the API server sees extra %v, want %v", got, want)
	}
}

// kopImpersonateNobody checks requests that impersonate groups, extras or a uid without a user.
// edge answers 400, as kube-apiserver does, and sends nothing upstream; kube-oidc-proxy answers
// 500.
func kopImpersonateNobody(k *kop) {
	_, token := k.impersonator()
	for name, as := range map[string]rest.ImpersonationConfig{
		"groups": {Groups: []string{"group-1", "group-2"}},
		"extra":  {Extra: map[string][]string{"foo": {"k1", "k2", "k3"}, "bar": {"k1", "k2", "k3"}}},
		"uid":    {UID: "1"},
	} {
		// client-go refuses to send a request without a user to impersonate, so the test writes the
		// header lines itself.
		lines := []string{askJSON}
		for _, group := range as.Groups {
			lines = append(lines, "Impersonate-Group: "+group)
		}
		for key, values := range as.Extra {
			for _, value := range values {
				lines = append(lines, "Impersonate-Extra-"+key+": "+value)
			}
		}
		if as.UID != "" {
			lines = append(lines, "Impersonate-Uid: "+as.UID)
		}
		a := raw(k.Context(), k.T, k.s.edge.Access(token), "GET", "/api/v1/namespaces/"+k.namespace+"/pods", lines...)
		if a.code != 400 || !strings.Contains(a.status().Message, "without a user to impersonate") {
			k.Errorf("%s: %v, want 400", name, a)
		}
	}
	k.nothingArrived()
}

// nothingArrived checks that edge has sent no request for the test case's namespace to the API
// server.
func (k *kop) nothingArrived() {
	k.Helper()
	events, err := k.s.cluster.Audit(func(e cluster.AuditEvent) bool {
		return e.ImpersonatedUser != nil && strings.Contains(e.RequestURI, k.namespace)
	})
	if err != nil || len(events) != 0 {
		k.Errorf("reached the API server: %+v, %v", events, err)
	}
}

func kopImpersonateForbidden(k *kop) {
	name, token := k.impersonator()
	k.mayBe(name)
	to := k.s.edge.Access(token)
	// With KEP-5284 there are several kinds of rights that allow an impersonation. The error of a
	// refusal depends on the kind that last succeeded, as in kube-apiserver. So the test first
	// makes an impersonation that succeeds.
	allowed := clientAs(k.T, to, rest.ImpersonationConfig{UserName: okUser})
	eventually(k.Context(), k.T, patience, "impersonate "+okUser, func(ctx context.Context) error {
		_, err := whoAmI(ctx, allowed)
		return err
	})
	for _, c := range []struct {
		as     rest.ImpersonationConfig
		denied string
	}{
		{rest.ImpersonationConfig{UserName: "foo@example.com"}, "user 'foo@example.com'"},
		{rest.ImpersonationConfig{UserName: okUser, Groups: []string{"group-1"}}, "group 'group-1'"},
		// edge's error contains the extra's key in lower case; kube-oidc-proxy's contains it as in
		// the header
		{rest.ImpersonationConfig{UserName: okUser, Extra: map[string][]string{"foo": {"k1", "k2", "k3"}}}, "extra info 'foo'='k1'"},
	} {
		want := name + " is not allowed to impersonate " + c.denied
		if err := k.list(clientAs(k.T, to, c.as), "pods"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
			k.Errorf("%v, want Forbidden: %s", err, want)
		}
	}
	k.nothingArrived()
}
