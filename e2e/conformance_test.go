package e2e

import (
	"flag"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/conformance"
	"edge/e2e/testbed/network"
)

var wholeConformance = flag.Bool("conformance", false, "run all of Kubernetes' own tests that a front end of the API can break, not only the part that \"make test\" runs")

// conformanceTests are the tests of Kubernetes' own suite that a front end of the API can break, as
// regular expressions of their names.
var conformanceTests = []string{
	`\[sig-(api-machinery|architecture|auth|cli|instrumentation)\]`,
	`\[sig-node\].*(websocket|Ephemeral Containers|PodTemplates|RuntimeClasses API|[Ll]ease|print the output to logs)`,
	`\[sig-network\].*(Proxy version v1|API operations)`,
	`\[sig-network\] EndpointSlice`,
	`\[sig-apps\].*API operations`,
}

// conformanceLabels is a filter of Ginkgo, which runs the suite. It leaves out four kinds of tests:
// those that stop parts of the cluster, those that the suite itself calls unreliable, those of
// features that are off by default, and those of volumes with a ClusterTrustBundle.
const conformanceLabels = `!Disruptive && !Flaky && !/^Feature:OffByDefault$/ && !/^FeatureGate:ClusterTrustBundleProjection$/`

// conformancePart are the tests that `make test` runs, in some minutes: of each subject the quick ones.
// The one of aggregated API servers is not among them: while such a server is not available, other
// tests of the same cluster see errors in discovery.
var conformancePart = []string{
	`Kubectl client Simple pod should support exec$`,
	`Kubectl client Simple pod should support exec through kubectl proxy`,
	`Kubectl client Simple pod should support inline execution and attach with websockets`,
	`Kubectl client Simple pod should return command exit codes (execing|should support port-forward)`,
	`Kubectl client Simple pod Kubectl run running a successful command`,
	`Kubectl client Kubectl copy should copy a file`,
	`Kubectl client Kubectl diff`,
	`Kubectl client Kubectl validation`,
	`Kubectl logs logs should be able to retrieve and filter logs`,
	`Kubectl Port forwarding .* should support forwarding over websockets`,
	`Kubectl Port forwarding With a server listening on localhost that expects`,
	`Kubectl Port forwarding Shutdown client connection`,
	`\[sig-node\] Pods should support .* over websockets`,
	`\[sig-node\] Ephemeral Containers`,
	`\[sig-network\] Proxy version v1 .*(through a service and a pod|set of valid responses)`,
	`Watchers should`,
	`CustomResourceDefinition Watch`,
	`Servers with support for API chunking should return chunks of results`,
	`Servers with support for Table transformation`,
	`API Streaming`,
	`Discovery should`,
	`OpenAPIV3 should`,
	`FieldValidation should`,
	`Server request timeout`,
	`ServerSideApply should`,
	`client-go should negotiate watch`,
	`CustomResourceDefinition resources`,
	`AdmissionWebhook .* should be able to deny attaching pod`,
	`ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview`,
	`ServiceAccounts should run through the lifecycle`,
	`SelfSubjectReview (should support|.* authentication/v1$)`,
	`SubjectReview should support`,
	`ValidatingAdmissionPolicy can restrict access by-node`,
	`Events API should`,
}

var (
	// withoutBalancer are tests whose client has a certificate, which no load balancer forwards. They
	// run at an edge without a load balancer.
	withoutBalancer = regexp.MustCompile(`Certificates API .* should support building a client with a CSR`)
	// withoutPods are tests that cannot run at edge in pods, whose paths all have a load balancer: those
	// of withoutBalancer, and one that evicts all pods of the cluster's only node.
	withoutPods = regexp.MustCompile(withoutBalancer.String() + `|Kubectl taint should remove all the taints`)
)

// itself is the path to the API server itself, without edge.
const itself = "API server"

// conformanceAtOnce is the number of Kubernetes' tests that run at the same time. Most of the time
// they wait.
const conformanceAtOnce = 8

// TestConformance runs Kubernetes' own end-to-end tests: at the API server itself, and those that
// pass there also through edge, where they must pass, too. `make test` runs a part of them, which
// pass at the API server, only through edge.
func TestConformance(t *testing.T) {
	t.Parallel()
	s := startConformance(t)
	if !*wholeConformance {
		outcomes := s.run(t, balanced, conformance.Options{Tests: conformancePart, Labels: conformanceLabels + " && !Slow && !Serial", AtOnce: 4})
		for name, o := range outcomes {
			if o.State != conformance.Passed {
				t.Errorf("%s: %s: %.1000s", name, o.State, o.Message)
			}
		}
		for _, expression := range conformancePart {
			if matches := regexp.MustCompile(expression).MatchString; !slices.ContainsFunc(slices.Collect(maps.Keys(outcomes)), matches) {
				t.Errorf("no test matches %q", expression)
			}
		}
		return
	}
	s.startPods(t)
	found := conformanceResults{itself: s.run(t, itself, conformance.Options{
		Tests: conformanceTests, Labels: conformanceLabels, AtOnce: conformanceAtOnce,
	})}
	for _, path := range conformancePaths[1:] {
		found[path] = map[string]conformance.Outcome{}
		for way, tests := range split(path, found.with(itself, conformance.Passed)) {
			maps.Copy(found[path], s.run(t, way, conformance.Options{Tests: tests, AtOnce: conformanceAtOnce}))
		}
	}
	err := found.faults()
	if err == nil {
		_, err = found.document()
	}
	if err == nil && *updateDocs {
		err = found.write()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// split returns the expressions of these tests by the path on which they run: this one or, for those
// in withoutBalancer, the direct path to edge.
func split(path string, tests []string) map[string][]string {
	ways := map[string][]string{}
	for _, test := range tests {
		way := path
		switch {
		case path == inPods && withoutPods.MatchString(test):
			continue
		case withoutBalancer.MatchString(test):
			way = direct
		}
		ways[way] = append(ways[way], conformance.Exactly(test))
	}
	return ways
}

// conformanceSite is an edge for Kubernetes' own tests. Some of these use tokens of ServiceAccounts
// and client certificates, which edge accepts only with a flag.
type conformanceSite struct {
	cluster *cluster.Cluster
	token   string            // of a user who may do everything
	configs map[string]string // path of the user's kubeconfig by path to the API server
}

func startConformance(t *testing.T) *conformanceSite {
	t.Helper()
	ctx := t.Context()
	s := &conformanceSite{cluster: sites[cluster.New].cluster, configs: map[string]string{}}
	if err := conformance.Import(ctx, s.cluster, bed.Bin); err != nil {
		t.Fatal(err)
	}
	const name, group = "root", "admins"
	s.bind(t, "cluster-admin", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: testbed.GroupsPrefix + group})
	s.grantEdge(t)
	claims := idp.Claims(name)
	claims["groups"] = []string{group}
	claims["exp"] = time.Now().Add(24 * time.Hour).Unix()
	token, err := idp.Mint(claims)
	if err != nil {
		t.Fatal(err)
	}
	s.token = token
	e := startEdge(t, testbed.EdgeOptions{Cluster: s.cluster, Issuer: idp, Args: []string{passthrough, "--client-ca-file=" + s.cluster.CAFile}})
	alb, err := bed.StartALB(ctx, e.Addr)
	if err != nil {
		t.Fatal(err)
	}
	// the name and the groups are the same on every path
	own, err := s.cluster.UserAccess(testbed.UsernamePrefix+name, testbed.GroupsPrefix+group)
	if err != nil {
		t.Fatal(err)
	}
	s.add(t, itself, own)
	s.add(t, direct, e.Access(s.token))
	s.addBalancer(t, balanced, alb)
	return s
}

// passthrough is the flag with which edge accepts the tokens of ServiceAccounts.
const passthrough = "--token-passthrough"

// conformanceNamespace is the namespace of edge in pods.
const conformanceNamespace = "edge-conformance"

// grantEdge gives edge, outside and in pods, the rights that deploy/options.yaml explains: for
// passthrough, and for the extra key with which a test impersonates a user.
func (s *conformanceSite) grantEdge(t *testing.T) {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: conformanceNamespace}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}},
		{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"userextras/known-languages"}, Verbs: []string{"impersonate"}},
	}}
	if _, err := s.cluster.Client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var accounts []rbacv1.Subject
	for _, namespace := range []string{testbed.EdgeNamespace, conformanceNamespace} {
		accounts = append(accounts, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: testbed.EdgeService, Namespace: namespace})
	}
	s.bind(t, role.Name, accounts...)
}

// startPods starts an edge in pods, with a load balancer in front of it.
func (s *conformanceSite) startPods(t *testing.T) {
	t.Helper()
	err := bed.StartEdgePods(t.Context(), testbed.EdgePodsOptions{
		Cluster: s.cluster, Issuer: idp, Replicas: edgeReplicas, Namespace: conformanceNamespace, Args: []string{passthrough},
	})
	if err != nil {
		t.Fatal(err)
	}
	balancer, err := bed.StartTargetGroup(t.Context(), s.cluster, conformanceNamespace, testbed.EdgeService, testbed.EdgePort, deregistrationDelay)
	if err != nil {
		t.Fatal(err)
	}
	s.addBalancer(t, inPods, &balancer.LoadBalancer)
}

// addBalancer adds a path through a load balancer. A test uses an HTTP proxy, so its address must not
// be a loopback address.
func (s *conformanceSite) addBalancer(t *testing.T, path string, b *network.LoadBalancer) {
	t.Helper()
	access := b.Access(s.token)
	access.Server = b.Away
	s.add(t, path, access)
}

// bind gives somebody the rights of a ClusterRole in the whole cluster.
func (s *conformanceSite) bind(t *testing.T, role string, to ...rbacv1.Subject) {
	t.Helper()
	_, err := s.cluster.Client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "conformance-" + role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   to,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *conformanceSite) add(t *testing.T, path string, access cluster.Access) {
	t.Helper()
	file, err := bed.Kubeconfig(access)
	if err != nil {
		t.Fatal(err)
	}
	s.configs[path] = file
}

// conformanceTimeout limits one run of the suite.
const conformanceTimeout = 50 * time.Minute

// run runs tests of the suite on a path to the API server.
func (s *conformanceSite) run(t *testing.T, path string, o conformance.Options) map[string]conformance.Outcome {
	t.Helper()
	o.Kubeconfig, o.Kubectl, o.Timeout = s.configs[path], bed.Bin.Kubectl["1.37"], conformanceTimeout
	folder, start := "conformance-"+slug(path), time.Now()
	t.Logf("%s: the tests run, for at most %s; their output is in %s", path, o.Timeout, filepath.Join(bed.Dir, folder))
	outcomes, err := conformance.Run(t.Context(), bed.Run, folder, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d tests ended after %s", path, len(outcomes), time.Since(start).Round(time.Second))
	return outcomes
}
