package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// The tests in people*_test.go run everyday commands of kubectl users that no other test runs. The
// same kubectl and user must get the same results through edge behind the load balancer as directly
// at the API server.

const peopleNamespace = "people"

// peopleVersion is the version of kubectl in the tests of everyday commands: the newest.
const peopleVersion = "1.37"

// desk is the name of the pod in the tests of everyday commands. It serves a web page "blob" of
// deskBytes bytes.
const (
	desk      = "desk"
	deskBytes = 4 << 20
)

var deskScript = fmt.Sprintf("mkdir /office; head -c %d /dev/urandom >/www/blob; %s", deskBytes, shellScript)

var openOffice = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := sites[cluster.New].cluster
	if err := c.EnsureNamespace(ctx, peopleNamespace); err != nil {
		return err
	}
	err := grantGroup(ctx, c, peopleNamespace, "dev", []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps", "pods", "pods/attach", "pods/ephemeralcontainers", "pods/exec", "pods/log", "pods/portforward"}, Verbs: []string{"*"}},
		{APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"*"}},
	})
	if err != nil {
		return err
	}
	return c.StartPod(ctx, cluster.PodOptions{Namespace: peopleNamespace, Name: desk, Script: deskScript})
})

// person is the user alice with a kubectl, and either the path through edge or the path directly to
// the API server.
type person struct {
	way  string
	to   cluster.Access
	file string // path of the kubeconfig
	*clients.Kubectl
}

// people returns the user alice twice: on the path through edge, and directly at the API server
// with a client certificate.
func people(t *testing.T) (edge, itself *person) {
	t.Helper()
	if err := openOffice(); err != nil {
		t.Fatal(err)
	}
	s := sites[cluster.New]
	directly, err := s.cluster.UserAccess(testbed.UsernamePrefix+"alice", testbed.GroupsPrefix+"dev")
	if err != nil {
		t.Fatal(err)
	}
	return newPerson(t, "edge", s.access(balanced, tokens["alice"])), newPerson(t, "itself", directly)
}

func newPerson(t *testing.T, way string, to cluster.Access) *person {
	t.Helper()
	to.Namespace = peopleNamespace
	file, err := bed.Kubeconfig(to)
	if err != nil {
		t.Fatal(err)
	}
	return &person{way, to, file, bed.Kubectl(peopleVersion, file)}
}

// connected returns a copy of p whose kubectl, of this version, is run by `edge connect`.
func (p *person) connected(t *testing.T, version string, env ...string) *person {
	t.Helper()
	k, err := bed.Kubectl(version, p.file, env...).ThroughConnect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &person{p.way + ", by edge connect", p.to, p.file, k}
}

// peopleContext returns a context with a timeout for one test of everyday commands.
func peopleContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// untilGo returns a command that waits for the input line "go", prints "got 42" and exits with a
// code. The command contains $((...)), so that "got 42" is not in the terminal's echo of the
// command.
func untilGo(code int) []string {
	return []string{"--", "sh", "-c", fmt.Sprintf(`until read line && [ "$line" = go ]; do :; done; echo got $((40+2)); exit %d`, code)}
}

// prompt is the line that kubectl prints when its terminal is attached to a container.
const prompt = "If you don't see a command prompt, try pressing enter."

// sayGo runs kubectl in a terminal with a command from untilGo. It waits for kubectl's prompt and
// types "go". It returns kubectl's exit code and everything that the terminal has shown.
func (p *person) sayGo(ctx context.Context, args ...string) (int, string, error) {
	term, err := p.Terminal(ctx, 24, 200, args...)
	if err != nil {
		return 0, "", err
	}
	defer term.Close()
	if err := term.Expect(ctx, prompt); err != nil {
		return 0, "", err
	}
	if err := term.Type("go\n"); err != nil {
		return 0, "", err
	}
	if err := term.Expect(ctx, "got 42"); err != nil {
		return 0, "", err
	}
	code := term.Wait(ctx)
	return code, term.Shown(), ctx.Err()
}

// TestPeopleRun checks 20 concurrent `kubectl run -it --rm`. Each must show the container's output,
// exit with the container's exit code, and leave no pod behind.
func TestPeopleRun(t *testing.T) {
	t.Parallel()
	ctx := peopleContext(t)
	edge, itself := people(t)
	c := sites[cluster.New].cluster
	overrides := fmt.Sprintf(`{"spec": {"nodeName": %q, "dnsPolicy": "Default", "automountServiceAccountToken": false, "enableServiceLinks": false, "terminationGracePeriodSeconds": 1}}`, c.Node)
	// at most four pods start at the same time; with a higher number, the test would not be faster
	seats := make(chan struct{}, 4)
	var running sync.WaitGroup
	for i := range 22 {
		who := edge
		// runs 0 to 19 are through edge, runs 20 and 21 directly at the API server for comparison
		if i >= 20 {
			who = itself
		}
		seats <- struct{}{}
		running.Go(func() {
			defer func() { <-seats }()
			name, code := fmt.Sprintf("run-%02d", i), i%4*21
			args := []string{"run", "-it", "--rm", name, "--restart=Never", "--image=" + cluster.Image, "--image-pull-policy=Never", "--overrides=" + overrides}
			got, shown, err := who.sayGo(ctx, append(args, untilGo(code)...)...)
			if err != nil || got != code || !strings.Contains(shown, fmt.Sprintf(`pod "%s" deleted`, name)) {
				t.Errorf("%s, %s: code %d, want %d: %v: %q", who.way, name, got, code, err, shown)
			}
		})
	}
	running.Wait()
	left := []string{"some"}
	// list the pods until none is left, because the kubelet removes a deleted pod only after a
	// moment
	for ctx.Err() == nil && len(left) > 0 {
		pods, err := c.Client.CoreV1().Pods(peopleNamespace).List(ctx, metav1.ListOptions{LabelSelector: "run"})
		if err != nil {
			t.Fatal(err)
		}
		left = nil
		for _, pod := range pods.Items {
			left = append(left, pod.Name)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if len(left) > 0 {
		t.Errorf("pods are left: %s", left)
	}
}

// TestPeopleDebug checks `kubectl debug`, which adds an ephemeral container to a running pod and
// attaches a terminal to it.
func TestPeopleDebug(t *testing.T) {
	t.Parallel()
	ctx := peopleContext(t)
	edge, itself := people(t)
	// a pod for this test only, because other tests need the pod desk unchanged
	const pod = "trouble"
	if err := sites[cluster.New].cluster.StartPod(ctx, cluster.PodOptions{Namespace: peopleNamespace, Name: pod}); err != nil {
		t.Fatal(err)
	}
	codes := map[string]int{}
	for _, who := range []*person{edge, itself} {
		name := "debug-" + who.way
		args := []string{"debug", "-it", pod, "--image=" + cluster.Image, "--image-pull-policy=Never", "--container=" + name, "--target=main"}
		code, shown, err := who.sayGo(ctx, append(args, untilGo(5)...)...)
		if err != nil {
			t.Errorf("%s: %v: %q", who.way, err, shown)
		}
		codes[who.way] = code
		is, err := sites[cluster.New].cluster.Client.CoreV1().Pods(peopleNamespace).Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(is.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name }) {
			t.Errorf("%s: the pod has no container %s", who.way, name)
		}
	}
	if codes["edge"] != codes["itself"] {
		t.Errorf("exit codes differ: %v", codes)
	}
}

// runID matches the id that the container runtime gives to one exec. The id differs in each run.
var runID = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// TestPeopleAsk checks commands that send one request and print the response. They must print the
// same text and exit with the same code as directly at the API server.
func TestPeopleAsk(t *testing.T) {
	t.Parallel()
	edge, itself := people(t)
	for _, args := range []string{
		"auth can-i --list", "auth can-i create pods/exec", "auth can-i delete nodes",
		"top pods", "top nodes", "top pod " + desk, "get --raw /apis/metrics.k8s.io/v1beta1/nodes",
		"get pod no-such-pod", "get no-such-kind", "logs no-such-pod", "exec no-such-pod -- true", "exec " + desk + " -c no-such-container -- true",
		"exec " + desk + " -- no-such-program", "delete pod no-such-pod", "explain pod.spec.nodeName", "api-resources -o name",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			ctx := peopleContext(t)
			a, b := edge.Run(ctx, strings.Fields(args)...), itself.Run(ctx, strings.Fields(args)...)
			if a.Err != nil || b.Err != nil || a.Code != b.Code {
				t.Errorf("through edge: code %d (%v), directly: code %d (%v)", a.Code, a.Err, b.Code, b.Err)
			}
			for what, of := range map[string][2][]byte{"stdout": {a.Stdout, b.Stdout}, "stderr": {a.Stderr, b.Stderr}} {
				through, directly := sortedLines(runID.ReplaceAll(of[0], nil)), sortedLines(runID.ReplaceAll(of[1], nil))
				if !slices.Equal(through, directly) {
					t.Errorf("%s through edge: %q, directly: %q", what, through, directly)
				}
			}
		})
	}
	t.Run("auth whoami", func(t *testing.T) {
		t.Parallel()
		ctx := peopleContext(t)
		var is [2]authenticationv1.SelfSubjectReview
		for i, who := range []*person{edge, itself} {
			r := who.Run(ctx, "auth", "whoami", "-o", "json")
			if err := json.Unmarshal(r.Stdout, &is[i]); err != nil {
				t.Fatalf("%s: %v: %v", who.way, err, succeeded(r))
			}
			// remove an extra that only a user with a certificate has
			delete(is[i].Status.UserInfo.Extra, "authentication.kubernetes.io/credential-id")
			if len(is[i].Status.UserInfo.Extra) == 0 {
				is[i].Status.UserInfo.Extra = nil
			}
		}
		if is[0].Status.UserInfo.Username != "oidc:alice" || !reflect.DeepEqual(is[0].Status, is[1].Status) {
			t.Errorf("through edge: %+v, directly: %+v", is[0].Status, is[1].Status)
		}
	})
}

// TestPeopleApply checks server-side apply (`kubectl apply --server-side`). It must create objects,
// detect conflicts, take over fields and record field managers as directly at the API server.
func TestPeopleApply(t *testing.T) {
	t.Parallel()
	ctx := peopleContext(t)
	edge, itself := people(t)
	said := map[string][]string{}
	for _, who := range []*person{edge, itself} {
		name := "applied-by-" + who.way
		apply := func(value string, args ...string) {
			manifest := fmt.Sprintf(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": %q}, "data": {"key": %q}}`, name, value)
			r := who.RunInput(ctx, strings.NewReader(manifest), append([]string{"apply", "--server-side", "-f", "-"}, args...)...)
			said[who.way] = append(said[who.way], strings.ReplaceAll(fmt.Sprintf("%v: %d %s%s", args, r.Code, r.Stdout, r.Stderr), name, "NAME"))
		}
		apply("one")
		apply("two")
		apply("three", "--field-manager=another")
		apply("three", "--field-manager=another", "--force-conflicts")
		apply("four", "--dry-run=server")
		apply("five", "--validate=strict", "--force-conflicts")
		object, err := sites[cluster.New].cluster.Client.CoreV1().ConfigMaps(peopleNamespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range object.ManagedFields {
			said[who.way] = append(said[who.way], fmt.Sprintf("%s %s %s %s", field.Manager, field.Operation, object.Data, bytes.TrimSpace(field.FieldsV1.GetRawBytes())))
		}
	}
	if !slices.Equal(said["edge"], said["itself"]) {
		t.Errorf("through edge: %q\ndirectly: %q", said["edge"], said["itself"])
	}
	if all := strings.Join(said["edge"], "\n"); !strings.Contains(all, "serverside-applied") || !strings.Contains(all, "conflict") {
		t.Errorf("no apply reported a conflict: %s", all)
	}
}
