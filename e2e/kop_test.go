package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// kopCases are the end-to-end tests of kube-oidc-proxy, which edge replaces, each as a function. If
// edge behaves differently on purpose, a comment at the function describes the difference.
var kopCases = map[string]func(*kop){
	"token":                             kopToken,
	"rbac/without":                      kopWithoutRBAC,
	"rbac/group bindings":               kopGroupBindings,
	"readiness/issuer down at start":    kopIssuerDownAtStart,
	"readiness/issuer down later":       kopIssuerDownLater,
	"upgrade/exec over SPDY":            kopExec,
	"upgrade/port-forward over SPDY":    kopPortForward,
	"impersonation/authorized":          kopImpersonate,
	"impersonation/without a user":      kopImpersonateNobody,
	"impersonation/not authorized":      kopImpersonateForbidden,
	"audit/to a file":                   kopAuditFile,
	"audit/to a webhook":                kopAuditWebhook,
	"headers/none":                      kopNoExtraHeaders,
	"headers/client address and others": kopExtraHeaders,
	"impersonation/disabled":            kopImpersonationDisabled,
	"passthrough/off":                   kopPassthroughOff,
	"passthrough/on":                    kopPassthroughOn,
	"passthrough/audiences":             kopPassthroughAudiences,
}

// TestKubeOIDCProxyCases runs the tests of kube-oidc-proxy (kopCases), each against an edge with
// the flags that the test needs.
func TestKubeOIDCProxyCases(t *testing.T) {
	t.Parallel()
	for name, run := range kopCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sites[cluster.New]
			k := &kop{T: t, s: s, namespace: "kop-" + slug(name)}
			if err := s.cluster.EnsureNamespace(t.Context(), k.namespace); err != nil {
				t.Fatal(err)
			}
			run(k)
		})
	}
}

// kop is one test of kube-oidc-proxy while it runs against edge. It has its own namespace, in which
// no user has rights at the start.
type kop struct {
	*testing.T
	s         *site
	namespace string
}

// The user of the kube-oidc-proxy tests: the name in the user's token, and the name with edge's
// prefix.
const (
	kopName = "user@example.com"
	kopUser = testbed.UsernamePrefix + kopName
)

// token returns a valid token of the test case's user, in which the claims in change replace
// others.
func (k *kop) token(change map[string]any) string {
	k.Helper()
	claims := idp.Claims(kopName)
	claims["groups"] = []string{"group-1", "group-2"}
	maps.Copy(claims, change)
	token, err := idp.Mint(claims)
	if err != nil {
		k.Fatal(err)
	}
	return token
}

// edge starts an edge with these flags for the test case.
func (k *kop) edge(args ...string) *testbed.Edge {
	k.Helper()
	return startEdge(k.T, testbed.EdgeOptions{Cluster: k.s.cluster, Issuer: idp, Args: args})
}

// user returns a client that sends requests of the test case's user to the edge e.
func (k *kop) user(e *testbed.Edge) kubernetes.Interface {
	k.Helper()
	return clientAs(k.T, e.Access(k.token(nil)), rest.ImpersonationConfig{})
}

// impersonator returns the name and the token of a user that no other test case uses. The test
// cases grant it rights to impersonate, which apply to the whole cluster.
func (k *kop) impersonator() (name, token string) {
	name = k.namespace + "@example.com"
	return testbed.UsernamePrefix + name, k.token(map[string]any{"preferred_username": name})
}

// list lists a kind of resource in the test case's namespace, or in the whole cluster for nodes.
func (k *kop) list(client kubernetes.Interface, resource string) error {
	namespace := k.namespace
	if resource == "nodes" {
		namespace = ""
	}
	return client.CoreV1().RESTClient().Get().NamespaceIfScoped(namespace, namespace != "").Resource(resource).Do(k.Context()).Error()
}

// grant allows the subjects (users or groups) to list a kind of resource in the test case's
// namespace.
func (k *kop) grant(resource string, subjects ...rbacv1.Subject) {
	k.Helper()
	rbac := k.s.cluster.Client.RbacV1()
	meta := metav1.ObjectMeta{GenerateName: "kop-"}
	role, err := rbac.Roles(k.namespace).Create(k.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{resource}, Verbs: []string{"get", "list"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		k.Fatal(err)
	}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}
	binding := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}
	if _, err := rbac.RoleBindings(k.namespace).Create(k.Context(), binding, metav1.CreateOptions{}); err != nil {
		k.Fatal(err)
	}
}

// grantEverywhere grants a subject (a user or group) the rights in rules in the whole cluster.
func (k *kop) grantEverywhere(subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	k.Helper()
	rbac := k.s.cluster.Client.RbacV1()
	meta := metav1.ObjectMeta{GenerateName: "kop-"}
	role, err := rbac.ClusterRoles().Create(k.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
	if err != nil {
		k.Fatal(err)
	}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: []rbacv1.Subject{subject}}
	if _, err := rbac.ClusterRoleBindings().Create(k.Context(), binding, metav1.CreateOptions{}); err != nil {
		k.Fatal(err)
	}
}

func rbacUser(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}
}

func rbacGroup(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
}

// may checks that the client can list these kinds of resources. It repeats each request, because
// the API server applies a new role binding only after a moment.
func (k *kop) may(client kubernetes.Interface, resources ...string) {
	k.Helper()
	for _, resource := range resources {
		eventually(k.Context(), k.T, patience, "list "+resource, func(context.Context) error { return k.list(client, resource) })
	}
}

// mayNot checks that the API server itself, not edge, refuses to list these kinds of resources for
// the test case's user.
func (k *kop) mayNot(client kubernetes.Interface, resources ...string) {
	k.Helper()
	for _, resource := range resources {
		want := fmt.Sprintf("User %q cannot list resource %q", kopUser, resource)
		if err := k.list(client, resource); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
			k.Errorf("list %s: %v, want the API server's Forbidden: %s", resource, err, want)
		}
	}
}

// kopToken checks bad tokens. edge answers 401 with a Status and a WWW-Authenticate challenge. If
// the client accepts text, edge answers with the text that kube-oidc-proxy sends to all clients.
func kopToken(k *kop) {
	notClaims, err := idp.Sign([]byte("bad token"))
	if err != nil {
		k.Fatal(err)
	}
	for name, token := range map[string]string{
		"none":           "",
		"bad payload":    notClaims,
		"wrong issuer":   k.token(map[string]any{"iss": "incorrect-issuer"}),
		"wrong audience": k.token(map[string]any{"aud": "wrong-aud"}),
		"expires now":    k.token(map[string]any{"exp": time.Now().Unix()}),
	} {
		to := k.s.edge.Access(token)
		a := raw(k.Context(), k.T, to, "GET", podsURI, askJSON)
		if a.code != 401 || a.status().Reason != metav1.StatusReasonUnauthorized || a.header.Get("WWW-Authenticate") != "Bearer" {
			k.Errorf("%s: %v %v, want 401 with a Status and a challenge", name, a, a.header)
		}
		a = raw(k.Context(), k.T, to, "GET", podsURI, "Accept: text/plain")
		if a.code != 401 || strings.TrimSpace(string(a.body)) != "Unauthorized" {
			k.Errorf("%s: %v, want 401 and Unauthorized", name, a)
		}
	}
	k.mayNot(k.user(k.s.edge), "pods")
}

func kopWithoutRBAC(k *kop) { k.mayNot(k.user(k.s.edge), "pods", "services", "secrets", "nodes") }

func kopGroupBindings(k *kop) {
	group1, group2 := rbacGroup(testbed.GroupsPrefix+"group-1"), rbacGroup(testbed.GroupsPrefix+"group-2")
	client := k.user(k.s.edge)
	k.mayNot(client, "pods")
	k.grant("pods", group1)
	k.may(client, "pods")
	k.mayNot(client, "services", "secrets", "nodes")
	k.grant("services", group2)
	k.may(client, "pods", "services")
	k.mayNot(client, "secrets", "nodes")
	k.grant("secrets", group2)
	k.may(client, "pods", "services", "secrets")
	k.mayNot(client, "nodes")
}

func kopIssuerDownAtStart(k *kop) {
	provider := startIssuer(k.T)
	provider.Stop()
	e := startEdge(k.T, testbed.EdgeOptions{Cluster: k.s.cluster, Issuer: provider, NoWait: true})
	eventually(k.Context(), k.T, patience, "not ready, and why", func(ctx context.Context) error {
		code, body, err := e.Ready(ctx)
		if err == nil && (code != http.StatusServiceUnavailable || !strings.Contains(body, provider.URL)) {
			err = fmt.Errorf("/ready: %d %s", code, body)
		}
		return err
	})
}

// kopIssuerDownLater checks requests just after the issuer has stopped. TestIssuerDown checks
// several minutes of an outage.
func kopIssuerDownLater(k *kop) {
	provider := startIssuer(k.T)
	e := startEdge(k.T, testbed.EdgeOptions{Cluster: k.s.cluster, Issuer: provider})
	token, err := provider.Login(k.Context(), "alice")
	if err != nil {
		k.Fatal(err)
	}
	provider.Stop()
	if code, body, err := e.Ready(k.Context()); err != nil || code != http.StatusOK {
		k.Errorf("/ready: %d %s, %v", code, body, err)
	}
	if a := raw(k.Context(), k.T, e.Access(token), "GET", podsURI, askJSON); a.code != 200 {
		k.Error(a)
	}
}

// kopExec and kopPortForward get a web page from a process in the pod. They use kubectl 1.29, which
// uses SPDY by default.
func kopExec(k *kop) {
	r := k.s.kubectl(k.T, direct, "1.29", "alice").Run(k.Context(), "exec", "shell", "--", "wget", "-q", "-O", "-", "http://127.0.0.1:8080")
	if r.Code != 0 || len(r.Stderr) != 0 || string(r.Stdout) != cluster.Page {
		k.Errorf("code %d, stdout %q, stderr %q, %v", r.Code, r.Stdout, r.Stderr, r.Err)
	}
}

func kopPortForward(k *kop) {
	p, err := k.s.kubectl(k.T, direct, "1.29", "alice").PortForward(k.Context(), "pod/shell", 8080)
	if err != nil {
		k.Fatal(err)
	}
	defer p.Stop()
	resp, err := (&http.Client{Timeout: patience}).Get("http://" + p.Addr)
	if err != nil {
		k.Fatal(err)
	}
	defer resp.Body.Close()
	if page, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(page) != cluster.Page {
		k.Errorf("%s: %q, %v", resp.Status, page, err)
	}
}

// has returns an error if a wanted name is missing in names.
func has(names []string, wanted ...string) error {
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%q is not among %q", name, names)
		}
	}
	return nil
}
