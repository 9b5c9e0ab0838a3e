package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
)

// right is the permission to use one verb on one kind of resource, as in an RBAC rule.
type right struct{ group, resource, verb string }

func impersonation(group, resource string) right { return right{group, resource, "impersonate"} }

// The rights of edge's own account that deploy/edge.yaml grants.
var (
	asUsers    = impersonation("", "users")
	asGroups   = impersonation("", "groups")
	asAccounts = impersonation("", "serviceaccounts")
	asUIDs     = impersonation("authentication.k8s.io", "uids")
	// the rights to impersonate the extras in which edge records the original user of an
	// impersonation
	record = []right{
		recordOf("user"), recordOf("groups"), recordOf("uid"), recordOf("extra"),
	}
	toReview = right{"authorization.k8s.io", "subjectaccessreviews", "create"}
)

func recordOf(part string) right {
	return impersonation("authentication.k8s.io", "userextras/originaluser.jetstack.io-"+part)
}

// needs maps kinds of requests to the rights that edge needs to serve them. lines are the request's
// Impersonate-* headers. In each request, %d is replaced by a new number, so that edge cannot use
// the cached result of an earlier review.
var needs = map[string]struct {
	lines  []string
	rights []right
}{
	"as oneself":        {nil, []right{asUsers, asGroups, asUIDs}},
	"--as":              {[]string{"Impersonate-User: somebody-%d"}, append([]right{asUsers, toReview}, record...)},
	"--as an account":   {[]string{"Impersonate-User: system:serviceaccount:demo:robot-%d"}, append([]right{asAccounts, toReview}, record...)},
	"--as and --as-uid": {[]string{"Impersonate-User: somebody-%d", "Impersonate-Uid: 1"}, append([]right{asUsers, asUIDs, toReview}, record...)},
	"--as and --as-group": {[]string{"Impersonate-User: somebody-%d", "Impersonate-Group: some"},
		append([]right{asUsers, asGroups, toReview}, record...)},
}

// TestLeastPrivilege takes each right that deploy/edge.yaml grants away from edge, one at a time.
// The requests that need the right must fail, and all others must succeed. So the manifest grants
// no right that edge does not use, and edge lacks none.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	l := newLeast(t)
	l.set(l.granted)
	l.settle(nil)
	for _, taken := range l.granted {
		rest := slices.DeleteFunc(slices.Clone(l.granted), func(r right) bool { return r == taken })
		var stop []string
		for name, request := range needs {
			if slices.Contains(request.rights, taken) {
				stop = append(stop, name)
			}
		}
		if len(stop) == 0 {
			t.Errorf("%v is granted, but no request of this test needs it", taken)
			continue
		}
		l.set(rest)
		for name, a := range l.settle(stop) {
			if a.code == 200 {
				continue
			}
			// The response must name the missing right, so that the client and the reader of edge's
			// log can see the reason.
			if resource := taken.resource; !strings.Contains(string(a.body), resource) {
				t.Errorf("without %v, %s: the response %v does not name the missing right", taken, name, a)
			}
		}
		l.set(l.granted)
		l.settle(nil)
	}
}

// least is an edge whose rights the test changes. Its service account has a role of its own, so
// that the edges of other tests keep their rights.
type least struct {
	*testing.T
	c       *cluster.Cluster
	edge    *testbed.Edge
	token   string
	granted []right // the rights that deploy/edge.yaml grants
	sent    int
}

const leastName = "least"

func newLeast(t *testing.T) *least {
	l := &least{T: t, c: sites[cluster.New].cluster}
	l.granted = l.rights()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	_, err := l.c.EdgeToken(ctx) // EdgeToken also creates the namespace of edge's account
	must(err)
	accounts := l.c.Client.CoreV1().ServiceAccounts(edgeNamespace)
	_, err = accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: leastName}}, metav1.CreateOptions{})
	must(err)
	answer, err := accounts.CreateToken(ctx, leastName, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(err)
	rbac := l.c.Client.RbacV1()
	meta := metav1.ObjectMeta{Name: "edge-least"}
	_, err = rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta}, metav1.CreateOptions{})
	must(err)
	_, err = rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: edgeNamespace, Name: leastName}},
	}, metav1.CreateOptions{})
	must(err)
	to := l.c.AdminAccess()
	kubeconfig, err := bed.Kubeconfig(cluster.Access{Server: to.Server, CA: to.CA, Token: answer.Status.Token})
	must(err)

	// In this configuration, users have a uid and an extra. So edge needs the rights to record each
	// part of the original user.
	var config map[string]any
	must(json.Unmarshal(configuration(t, trusted{idp, issuer.ClientID, "least:"}), &config))
	mappings := config["jwt"].([]any)[0].(map[string]any)["claimMappings"].(map[string]any)
	mappings["uid"] = map[string]any{"claim": "preferred_username"}
	mappings["extra"] = []any{map[string]any{"key": "example.com/tenant", "valueExpression": "claims.tenant"}}
	text, err := json.Marshal(config)
	must(err)
	file := filepath.Join(t.TempDir(), "authentication.yaml")
	must(os.WriteFile(file, text, 0o644))
	l.edge = startEdge(t, testbed.EdgeOptions{Cluster: l.c, Args: []string{"--kubeconfig=" + kubeconfig, "--authentication-config=" + file}})

	claims := idp.Claims("least@example.com")
	claims["groups"], claims["tenant"] = []string{"some"}, "one"
	l.token, err = idp.Mint(claims)
	must(err)
	k := &kop{T: t, s: sites[cluster.New]}
	k.grantEverywhere(rbacUser("least:least@example.com"),
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"users", "groups", "serviceaccounts"}, Verbs: []string{"impersonate"}},
		rbacv1.PolicyRule{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"uids"}, Verbs: []string{"impersonate"}})
	return l
}

// rights returns the rights of the ClusterRole in deploy/edge.yaml.
func (l *least) rights() (all []right) {
	objects, err := cluster.Manifest("edge.yaml")
	if err != nil {
		l.Fatal(err)
	}
	for _, object := range objects {
		if object.GetKind() != "ClusterRole" {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			l.Fatal(err)
		}
		for _, rule := range role.Rules {
			if len(rule.ResourceNames)+len(rule.NonResourceURLs) > 0 {
				l.Fatalf("%v: this test does not support rules with resourceNames or nonResourceURLs", rule)
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						all = append(all, right{group, resource, verb})
					}
				}
			}
		}
	}
	return all
}

// tenant is the right to impersonate the extra example.com/tenant, which the users of this test
// have. deploy/options.yaml explains such rights.
var tenant = impersonation("authentication.k8s.io", "userextras/example.com/tenant")

// set replaces the rights of edge's account by those in the parameter rights and by the right
// tenant.
func (l *least) set(rights []right) {
	l.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "edge-least"}}
	for _, r := range append([]right{tenant}, rights...) {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{r.group}, Resources: []string{r.resource}, Verbs: []string{r.verb}})
	}
	if _, err := l.c.Client.RbacV1().ClusterRoles().Update(l.Context(), role, metav1.UpdateOptions{}); err != nil {
		l.Fatal(err)
	}
}

// settle sends all kinds of requests until exactly the kinds in the parameter failing fail and all
// others succeed. It repeats them, because the API server applies a changed role only after a
// moment.
func (l *least) settle(failing []string) (answers map[string]answer) {
	l.Helper()
	eventually(l.Context(), l.T, patience, fmt.Sprintf("exactly the requests %q fail", failing), func(context.Context) error {
		answers = make(map[string]answer)
		for name, request := range needs {
			l.sent++
			lines := []string{askJSON}
			for _, line := range request.lines {
				lines = append(lines, strings.ReplaceAll(line, "%d", fmt.Sprint(l.sent)))
			}
			a := raw(l.Context(), l.T, l.edge.Access(l.token), "GET", "/api", lines...)
			if answers[name] = a; (a.code != 200) != slices.Contains(failing, name) {
				return fmt.Errorf("%s: %v", name, a)
			}
		}
		return nil
	})
	return answers
}
