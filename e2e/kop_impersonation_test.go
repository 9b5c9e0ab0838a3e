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

// The names that the case's user may impersonate after mayBe. They come from the request, so edge
// adds no prefix to them.
const (
	okUser  = "ok-to-impersonate@nodomain.dev"
	okGroup = "ok-to-impersonate-group"
	okExtra = "oktoimpersonateextra"
)

// edgeItself is edge's service account in deploy/edge.yaml.
var edgeItself = rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "edge", Namespace: "edge"}

// mayBe allows a user to impersonate okUser, okGroup and okExtra. kube-oidc-proxy reviews uids and
// extras in another API group than kube-apiserver; edge uses kube-apiserver's.
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
	// In addition to the requested identity, the API server may see only the original user.
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

// kopImpersonateNobody differs from kube-oidc-proxy, which answers 500. edge answers 400 like
// kube-apiserver and sends nothing upstream.
func kopImpersonateNobody(k *kop) {
	_, token := k.impersonator()
	for name, as := range map[string]rest.ImpersonationConfig{
		"groups": {Groups: []string{"group-1", "group-2"}},
		"extra":  {Extra: map[string][]string{"foo": {"k1", "k2", "k3"}, "bar": {"k1", "k2", "k3"}}},
		"uid":    {UID: "1"},
	} {
		// client-go refuses to send such a request, so the test writes it directly.
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

// nothingArrived checks that no request for the case's namespace reached the API server through
// edge.
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
	// With several ways to allow an impersonation (KEP-5284), a refusal names the way that last
	// succeeded, as in kube-apiserver. So one impersonation must succeed first.
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
		// edge reports the key in lower case; kube-oidc-proxy reports it as written in the header.
		{rest.ImpersonationConfig{UserName: okUser, Extra: map[string][]string{"foo": {"k1", "k2", "k3"}}}, "extra info 'foo'='k1'"},
	} {
		want := name + " is not allowed to impersonate " + c.denied
		if err := k.list(clientAs(k.T, to, c.as), "pods"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
			k.Errorf("%v, want Forbidden: %s", err, want)
		}
	}
	k.nothingArrived()
}
