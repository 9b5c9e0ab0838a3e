package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
)

// TestConstrainedImpersonation checks constrained impersonation (KEP-5284), which only the new
// cluster supports. A right to impersonate must have the same effect through edge as at the API
// server. If the impersonation is not allowed, edge's error must end with the API server's message.
func TestConstrainedImpersonation(t *testing.T) {
	const erin, target, node = "erin", "target", "system:node:n1"
	forEachSite(t, func(t *testing.T, s *site) {
		k := &kop{T: t, s: s, namespace: "constrained"}
		if err := s.cluster.EnsureNamespace(t.Context(), k.namespace); err != nil {
			t.Fatal(err)
		}
		const authentication = "authentication.k8s.io"
		k.grantEverywhere(rbacUser(testbed.UsernamePrefix+erin),
			rbacv1.PolicyRule{
				APIGroups: []string{authentication}, Resources: []string{"users"}, ResourceNames: []string{target}, Verbs: []string{"impersonate:user-info"},
			},
			rbacv1.PolicyRule{
				APIGroups: []string{authentication}, Resources: []string{"nodes"}, ResourceNames: []string{"n1"}, Verbs: []string{"impersonate:arbitrary-node"},
			},
			rbacv1.PolicyRule{
				APIGroups: []string{authentication}, Resources: []string{"selfsubjectreviews"}, Verbs: []string{"impersonate-on:arbitrary-node:create"},
			},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"impersonate-on:user-info:list"}},
		)
		k.grant("pods", rbacUser(target))

		token, err := idp.Mint(idp.Claims(erin))
		if err != nil {
			t.Fatal(err)
		}
		itself, err := s.cluster.UserAccess(testbed.UsernamePrefix+erin, testbed.GroupsPrefix+"dev")
		if err != nil {
			t.Fatal(err)
		}
		onNew := s.cluster.Kind == cluster.New
		// repeat the request until it succeeds, because the API server applies new RBAC rules only
		// after a moment
		if onNew {
			eventually(t.Context(), t, patience, "rights", func(ctx context.Context) error {
				return list(k.namespace)(ctx, clientAs(t, itself, rest.ImpersonationConfig{UserName: target}))
			})
		}
		for _, c := range []struct {
			name    string
			as      rest.ImpersonationConfig
			do      func(context.Context, kubernetes.Interface) error
			allowed bool
		}{
			{"list", rest.ImpersonationConfig{UserName: target}, list(k.namespace), onNew},
			{"get", rest.ImpersonationConfig{UserName: target}, func(ctx context.Context, client kubernetes.Interface) error {
				_, err := client.CoreV1().Pods(k.namespace).Get(ctx, "shell", metav1.GetOptions{})
				return err
			}, false},
			{"list where the target may not", rest.ImpersonationConfig{UserName: target}, list(opsNamespace), false},
			{"list as another", rest.ImpersonationConfig{UserName: "another"}, list(k.namespace), false},
			{"list as administrator", rest.ImpersonationConfig{UserName: target, Groups: []string{"system:masters"}}, list(k.namespace), false},
			{"list as a node", rest.ImpersonationConfig{UserName: node}, list(k.namespace), false},
			{"as a node", rest.ImpersonationConfig{UserName: node}, func(ctx context.Context, client kubernetes.Interface) error {
				who, err := whoAmI(ctx, client)
				if err == nil && (who.Username != node || !slices.Equal(who.Groups, []string{"system:nodes", "system:authenticated"})) {
					t.Errorf("the API server sees %+v", who)
				}
				return err
			}, onNew},
		} {
			t.Run(c.name, func(t *testing.T) {
				want := c.do(t.Context(), clientAs(t, itself, c.as))
				got := c.do(t.Context(), clientAs(t, s.edge.Access(token), c.as))
				if (want == nil) != c.allowed || (got == nil) != c.allowed {
					t.Fatalf("allowed should be %v\nerror of the API server: %v\nerror through edge: %v", c.allowed, want, got)
				}
				if !c.allowed && !strings.HasSuffix(got.Error(), want.Error()) {
					t.Errorf("error of the API server: %v\nerror through edge: %v", want, got)
				}
			})
		}
	})
}

// TestConstrainedVerbDrift checks a user who may impersonate another user only for the verb get of
// a stream. That user must get no stream through edge: kube-apiserver authorizes a WebSocket as
// get, but edge sends a POST upstream for it. A user who may also impersonate for create must get
// the stream. The test belongs to row VerbDrift of the attack corpus in docs/security.md.
func TestConstrainedVerbDrift(t *testing.T) {
	t.Parallel()
	s := sites[cluster.New]
	k := &kop{T: t, s: s, namespace: cluster.Namespace}
	const target = "streamer"
	streams := []string{"pods/exec", "pods/attach", "pods/portforward"}
	k.grantEverywhere(rbacUser(target), rbacv1.PolicyRule{APIGroups: []string{""}, Resources: streams, Verbs: []string{"get", "create"}})
	for group, verbs := range map[string][]string{
		"drifters": {"impersonate-on:user-info:get"}, "creators": {"impersonate-on:user-info:get", "impersonate-on:user-info:create"},
	} {
		everywhere(t, s.cluster, group,
			rbacv1.PolicyRule{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"users"}, ResourceNames: []string{target}, Verbs: []string{"impersonate:user-info"}},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: streams, Verbs: verbs})
	}
	as := "Impersonate-User: " + target
	own, err := s.cluster.UserAccess(testbed.UsernamePrefix+"drifter", testbed.GroupsPrefix+"drifters")
	if err != nil {
		t.Fatal(err)
	}
	// repeat the request until it succeeds, because the API server applies new RBAC rules only
	// after a moment
	eventually(t.Context(), t, patience, "rights", func(ctx context.Context) error {
		if got := raw(ctx, t, own, "GET", execURI, append(askWebSocket("v5.channel.k8s.io"), as)...); got.code != http.StatusSwitchingProtocols {
			return fmt.Errorf("the API server itself: %v, want 101; otherwise this test proves nothing", got)
		}
		return nil
	})
	a := attack(t, cluster.New)
	drifter := a.as(minted(t, idp, map[string]any{"preferred_username": "drifter", "groups": []string{"drifters"}}))
	creator := a.as(minted(t, idp, map[string]any{"preferred_username": "creator", "groups": []string{"creators"}}))
	for name, c := range map[string]struct {
		method, uri string
		lines       []string
	}{
		"exec, WebSocket v5":   {"GET", execURI, askWebSocket("v5.channel.k8s.io")},
		"exec, WebSocket v4":   {"GET", execURI, askWebSocket("v4.channel.k8s.io")},
		"exec, SPDY":           {"POST", execURI, askSPDY},
		"exec, SPDY by GET":    {"GET", execURI, askSPDY},
		"attach, WebSocket v5": {"GET", podsURI + "/shell/attach?stdout=true", askWebSocket("v5.channel.k8s.io")},
		"port-forward, tunnel": {"GET", portForwardURI, askWebSocket("SPDY/3.1+portforward.k8s.io")},
		"port-forward, WS v4":  {"GET", portForwardURI + "?ports=8080", askWebSocket("v4.channel.k8s.io")},
	} {
		got := raw(t.Context(), t, drifter, c.method, c.uri, append(slices.Clone(c.lines), as)...)
		if got.code != http.StatusForbidden || !strings.Contains(got.status().Message, "impersonate-on:user-info:create") {
			t.Errorf("%s: %v, want 403 for the lack of create", name, got)
		}
		a.nothing(t, name)
		if got := raw(t.Context(), t, creator, c.method, c.uri, append(slices.Clone(c.lines), as)...); got.code != http.StatusSwitchingProtocols {
			t.Errorf("%s by a user with create: %v, want 101", name, got)
		}
		a.recorder.Forget()
	}
}

func list(namespace string) func(context.Context, kubernetes.Interface) error {
	return func(ctx context.Context, client kubernetes.Interface) error {
		_, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		return err
	}
}
