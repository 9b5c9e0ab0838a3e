package e2e

import (
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// account creates a ServiceAccount that may list pods in the test case's namespace. It returns the
// account's name and a token for these audiences; without audiences, the token is for the API
// server itself.
func (k *kop) account(audiences ...string) (name, token string) {
	k.Helper()
	accounts := k.s.cluster.Client.CoreV1().ServiceAccounts(k.namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "robot-"}}
	account, err := accounts.Create(k.Context(), account, metav1.CreateOptions{})
	if err != nil {
		k.Fatal(err)
	}
	k.grant("pods", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: account.Name, Namespace: k.namespace})
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	answer, err := accounts.CreateToken(k.Context(), account.Name, request, metav1.CreateOptions{})
	if err != nil {
		k.Fatal(err)
	}
	return "system:serviceaccount:" + k.namespace + ":" + account.Name, answer.Status.Token
}

func (k *kop) withToken(e *testbed.Edge, token string) kubernetes.Interface {
	return clientAs(k.T, e.Access(token), rest.ImpersonationConfig{})
}

func (k *kop) grantOptions() {
	k.Helper()
	if err := k.s.cluster.GrantOptions(k.Context()); err != nil {
		k.Fatal(err)
	}
}

// passthrough starts an edge with --token-passthrough, which forwards tokens of the API server
// unchanged, and grants edge the right to review tokens.
func (k *kop) passthrough(args ...string) *testbed.Edge {
	k.Helper()
	k.grantOptions()
	return k.edge(append([]string{"--token-passthrough"}, args...)...)
}

func kopPassthroughOff(k *kop) {
	_, token := k.account()
	k.grant("pods", rbacUser(kopUser))
	k.may(k.user(k.s.edge), "pods")
	if err := k.list(k.withToken(k.s.edge, token), "pods"); !apierrors.IsUnauthorized(err) {
		k.Errorf("a ServiceAccount's token: %v, want 401", err)
	}
}

func kopPassthroughOn(k *kop) {
	name, token := k.account()
	k.grant("pods", rbacUser(kopUser))
	e := k.passthrough()
	k.may(k.user(e), "pods")
	k.may(k.withToken(e, token), "pods")
	event, err := k.s.cluster.WaitAudit(k.Context(), func(e cluster.AuditEvent) bool {
		return e.User.Username == name && e.ResponseStatus != nil && e.ResponseStatus.Code == 200
	})
	if err != nil || event.ImpersonatedUser != nil {
		k.Errorf("audit event %+v, %v", event, err)
	}
	for what, bad := range map[string]string{"wrong audience": k.token(map[string]any{"aud": "wrong-aud"}), "changed": token + "x"} {
		if err := k.list(k.withToken(e, bad), "pods"); !apierrors.IsUnauthorized(err) {
			k.Errorf("%s: %v, want 401", what, err)
		}
	}
}

// kopPassthroughAudiences checks tokens for other audiences. edge checks the audiences in the
// result of a token review; kube-oidc-proxy ignores them.
func kopPassthroughAudiences(k *kop) {
	_, plain := k.account()
	_, both := k.account("robots", apiAudience)
	_, other := k.account("robots")
	e := k.passthrough("--token-passthrough-audiences=robots,machines")
	k.may(k.withToken(e, both), "pods")
	if err := k.list(k.withToken(e, plain), "pods"); !apierrors.IsUnauthorized(err) {
		k.Errorf("a token for the API server only: %v, want 401", err)
	}
	if events, err := k.refusedUpstream(); err != nil || len(events) != 0 {
		k.Errorf("requests that edge refused reached the API server: %+v, %v", events, err)
	}
	// Because of --token-passthrough-audiences, edge forwards this token unchanged. The API server
	// then refuses it, because the token is not for the API server's audience.
	if err := k.list(k.withToken(e, other), "pods"); !apierrors.IsUnauthorized(err) {
		k.Errorf("a token for robots only: %v, want the API server's 401", err)
	}
	if events, err := k.refusedUpstream(); err != nil || len(events) != 1 {
		k.Errorf("the API server refused %+v, %v, want one request", events, err)
	}
}

// refusedUpstream returns the audit events of requests for the test case's namespace to which the
// API server answered 401.
func (k *kop) refusedUpstream() ([]cluster.AuditEvent, error) {
	return k.s.cluster.Audit(func(e cluster.AuditEvent) bool {
		return strings.Contains(e.RequestURI, k.namespace) && e.ResponseStatus != nil && e.ResponseStatus.Code == 401
	})
}

// kopImpersonationDisabled checks an edge that does not impersonate: it forwards the client's own
// token, so the API server must trust the issuer and handles impersonation itself. kube-oidc-proxy
// instead sends requests as system:anonymous.
func kopImpersonationDisabled(k *kop) {
	upstream := startReplica(k.T, k.s.cluster, testbed.IssuerFlags(idp)...).Access
	e := startEdge(k.T, testbed.EdgeOptions{Cluster: k.s.cluster, Issuer: idp, Upstream: upstream, Args: []string{"--disable-impersonation"}})
	name, token := k.impersonator()
	own := clientAs(k.T, e.Access(token), rest.ImpersonationConfig{})
	user, err := whoAmI(k.Context(), own)
	if err != nil || user.Username != name {
		k.Fatalf("the API server sees %+v, %v", user, err)
	}
	if err := has(user.Groups, testbed.GroupsPrefix+"group-1", testbed.GroupsPrefix+"group-2", "system:authenticated"); err != nil {
		k.Error(err)
	}
	as := clientAs(k.T, e.Access(token), rest.ImpersonationConfig{UserName: "foo@example.com"})
	if err := k.list(as, "pods"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot impersonate") {
		k.Errorf("%v, want the API server's own Forbidden", err)
	}
	k.grantEverywhere(rbacUser(name), rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}})
	k.grant("pods", rbacUser("foo@example.com"))
	k.may(as, "pods")
	done, err := k.s.cluster.WaitAudit(k.Context(), func(e cluster.AuditEvent) bool {
		return strings.Contains(e.RequestURI, k.namespace) && e.ResponseStatus != nil && e.ResponseStatus.Code == 200 && e.User.Username == name
	})
	if err != nil || done.ImpersonatedUser == nil || done.ImpersonatedUser.Username != "foo@example.com" || len(done.ImpersonatedUser.Extra) != 0 {
		k.Errorf("audit event %+v, %v", done, err)
	}
	// edge itself, not the API server, must refuse a token for a wrong audience.
	if a := raw(k.Context(), k.T, e.Access(k.token(map[string]any{"aud": "wrong-aud"})), "GET", podsURI, askJSON); a.code != 401 {
		k.Error(a)
	}
}
