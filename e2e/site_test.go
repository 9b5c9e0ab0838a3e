package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/network"
)

// site is one cluster with an edge in front of it, and two load balancers in front of edge.
type site struct {
	cluster *cluster.Cluster
	edge    *testbed.Edge
	alb     *network.LoadBalancer
	nginx   *network.LoadBalancer
	// load balancer in front of an edge that runs in the cluster's own pods; nil: there is none
	pods *network.TargetGroup
}

// The paths from a client to edge. Only the direct path supports SPDY.
const (
	direct   = "direct"
	balanced = "load balancer" // the path through HAProxy, which is configured like an AWS ALB
	nginx    = "nginx"
)

var paths = []string{direct, balanced, nginx}

// inPods is the path through a load balancer to an edge that runs in the cluster's own pods. On the
// other paths edge runs beside the cluster.
const inPods = "pods"

// matrixPaths are the paths of the compatibility matrix.
var matrixPaths = append(slices.Clone(paths), inPods)

// edgeReplicas is the number of pods in which edge runs.
const edgeReplicas = 3

// deregistrationDelay is how long a pod of edge keeps its connections after the load balancer has
// deregistered it.
const deregistrationDelay = 30 * time.Second

// opsNamespace is the namespace of the user bob. The user alice has cluster.Namespace.
const opsNamespace = "ops"

// tenantOnly is a flag with which edge accepts only users of the tenant "one". So it refuses the
// user carol.
const tenantOnly = "--oidc-required-claim=tenant=one"

func startSite(ctx context.Context, kind cluster.Kind) (*site, error) {
	c, err := bed.StartCluster(ctx, kind)
	if err != nil {
		return nil, err
	}
	s, err := frontFor(ctx, c, cluster.Access{})
	if err != nil {
		return nil, err
	}
	for _, pod := range []cluster.PodOptions{
		{Name: "shell", Script: shellScript},
		{Name: "ticker", Script: tickerScript},
		{Name: "shell", Namespace: opsNamespace, Script: shellScript},
	} {
		if err := s.cluster.StartPod(ctx, pod); err != nil {
			return nil, err
		}
	}
	if err := s.cluster.StartLostPod(ctx); err != nil {
		return nil, err
	}
	if err := s.startPods(ctx); err != nil {
		return nil, err
	}
	return s, grant(ctx, s.cluster)
}

// startPods runs edge in the cluster's own pods, behind a load balancer.
func (s *site) startPods(ctx context.Context) error {
	if err := s.cluster.StartServices(ctx); err != nil {
		return err
	}
	err := bed.StartEdgePods(ctx, testbed.EdgePodsOptions{Cluster: s.cluster, Issuer: idp, Replicas: edgeReplicas, Args: edgeArgs()})
	if err != nil {
		return err
	}
	s.pods, err = bed.StartTargetGroup(ctx, s.cluster, testbed.EdgeNamespace, testbed.EdgeService, testbed.EdgePort, deregistrationDelay)
	return err
}

// edgeArgs are the arguments of every site's edge.
func edgeArgs() []string { return []string{tenantOnly, "--allowed-origins=" + console.URL} }

// frontFor starts an edge for a cluster, and both load balancers in front of edge. upstream is the
// API server that edge uses; empty: the cluster's first one.
func frontFor(ctx context.Context, c *cluster.Cluster, upstream cluster.Access) (*site, error) {
	s := &site{cluster: c}
	var err error
	if s.edge, err = bed.StartEdge(ctx, testbed.EdgeOptions{Cluster: c, Issuer: idp, Upstream: upstream, Args: edgeArgs()}); err != nil {
		return nil, err
	}
	if s.alb, err = bed.StartALB(ctx, s.edge.Addr); err != nil {
		return nil, err
	}
	s.nginx, err = bed.StartNginx(ctx, s.edge.Addr)
	return s, err
}

// shellScript is the script of the pod "shell". It serves a web page on port 8080 and runs the test
// server inpod.
const shellScript = "httpd -p 8080 -h /www; inpod & trap 'exit 0' TERM; sleep 2147483647 & wait"

// tickerScript is the script of the pod "ticker". It writes a line with a number every 0.3 s.
const tickerScript = "i=0; while sleep 0.3; do i=$((i+1)); echo tick $i; done"

// grant gives the group dev rights in the namespace demo. The group ops gets the same rights in its
// own namespace, and may read demo's pods.
func grant(ctx context.Context, c *cluster.Cluster) error {
	look := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "pods/log", "configmaps"}, Verbs: []string{"get", "list", "watch"}}
	enter := rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"pods/exec", "pods/attach", "pods/portforward"}, Verbs: []string{"get", "create"},
	}
	proxy := rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"pods/proxy", "services/proxy"}, Verbs: []string{"get", "create"},
	}
	for _, g := range []struct {
		namespace, group string
		rules            []rbacv1.PolicyRule
	}{
		{cluster.Namespace, "dev", []rbacv1.PolicyRule{look, enter, proxy}},
		{cluster.Namespace, "ops", []rbacv1.PolicyRule{look}},
		{opsNamespace, "ops", []rbacv1.PolicyRule{look, enter}},
	} {
		if err := grantGroup(ctx, c, g.namespace, g.group, g.rules); err != nil {
			return err
		}
	}
	return nil
}

// grantGroup grants a group of the issuer the rights in rules in one namespace.
func grantGroup(ctx context.Context, c *cluster.Cluster, namespace, group string, rules []rbacv1.PolicyRule) error {
	meta := metav1.ObjectMeta{Name: group}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: rules}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: group},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: testbed.GroupsPrefix + group}},
	}
	rbac := c.Client.RbacV1()
	if _, err := rbac.Roles(namespace).Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	if _, err := rbac.RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	return nil
}

// access returns the address and credential of a client that has this token and uses this path
// (direct, or a load balancer).
func (s *site) access(path, token string) cluster.Access {
	switch path {
	case balanced:
		return s.alb.Access(token)
	case nginx:
		return s.nginx.Access(token)
	case inPods:
		return s.pods.Access(token)
	default:
		return s.edge.Access(token)
	}
}

// kubeconfig writes a kubeconfig for a user and a path (direct, or a load balancer), and returns
// the file's path.
func (s *site) kubeconfig(t *testing.T, path, user string) string {
	t.Helper()
	file, err := bed.Kubeconfig(s.access(path, tokens[user]))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// kubectl returns a kubectl of this version, with a kubeconfig for a user and a path (direct, or a
// load balancer).
func (s *site) kubectl(t *testing.T, path, version, user string, env ...string) *clients.Kubectl {
	t.Helper()
	return bed.Kubectl(version, s.kubeconfig(t, path, user), env...)
}

// forEachSite runs a test in parallel against both sites: the new and the old cluster, each with an
// edge.
func forEachSite(t *testing.T, test func(t *testing.T, s *site)) {
	t.Parallel()
	for kind, s := range sites {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// together runs subtests that mainly wait, all at the same time. Unlike subtests that call
// t.Parallel, they do not keep other tests waiting. The caller must call the method Wait before its
// own test returns.
type together struct {
	t *testing.T
	sync.WaitGroup
}

func (g *together) run(name string, test func(*testing.T)) {
	g.Go(func() { g.t.Run(name, test) })
}

// slug converts a text to a valid name of a Kubernetes object.
func slug(text string) string {
	return strings.NewReplacer("/", "-", " ", "-", "_", "-", ".", "", ",", "", "`", "").Replace(strings.ToLower(text))
}
