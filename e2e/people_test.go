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

// What people do all day and what no other test does: through edge, behind the load balancer, it is what it is at the API server
// itself, by the same kubectl and the same user.

const peopleNamespace = "people"

// peopleVersion is the kubectl of people: the newest.
const peopleVersion = "1.36"

// desk is the pod that people work in. Its page "blob" is of deskBytes.
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

// A person is alice with a kubectl, on one way to the API server.
type person struct {
	way  string
	to   cluster.Access
	file string // kubeconfig
	*clients.Kubectl
}

// people are alice through edge, and alice at the API server itself, by a certificate.
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

// connected is p with a release of kubectl, and edge connect.
func (p *person) connected(t *testing.T, version string, env ...string) *person {
	t.Helper()
	k, err := bed.Kubectl(version, p.file, env...).ThroughConnect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &person{p.way + ", by edge connect", p.to, p.file, k}
}

// peopleContext bounds a test of people.
func peopleContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// untilGo waits in a container for a person's word, then says so and ends with a code. What the terminal echoes is told from what is
// said by the $((...)).
func untilGo(code int) []string {
	return []string{"--", "sh", "-c", fmt.Sprintf(`until read line && [ "$line" = go ]; do :; done; echo got $((40+2)); exit %d`, code)}
}

// prompt is what kubectl says once it is attached to a terminal.
const prompt = "If you don't see a command prompt, try pressing enter."

// sayGo runs a command in a terminal up to kubectl's prompt, says the word, and returns kubectl's exit code and what was shown.
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

// TestPeopleRun: each of 20 `kubectl run -it --rm` ends with its container's code after its container's words, and leaves no pod.
func TestPeopleRun(t *testing.T) {
	t.Parallel()
	ctx := peopleContext(t)
	edge, itself := people(t)
	c := sites[cluster.New].cluster
	overrides := fmt.Sprintf(`{"spec": {"nodeName": %q, "dnsPolicy": "Default", "automountServiceAccountToken": false, "enableServiceLinks": false, "terminationGracePeriodSeconds": 1}}`, c.Node)
	seats := make(chan struct{}, 4) // more start no faster
	var running sync.WaitGroup
	for i := range 22 {
		who := edge
		if i >= 20 { // to see that it is so there
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
	for ctx.Err() == nil && len(left) > 0 { // the kubelet ends a deleted pod
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

// TestPeopleDebug: `kubectl debug` puts an ephemeral container beside a running one, and has its terminal.
func TestPeopleDebug(t *testing.T) {
	t.Parallel()
	ctx := peopleContext(t)
	edge, itself := people(t)
	const pod = "trouble" // others find the desk as it is
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

// runID is the container runtime's name for one run of a program.
var runID = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// TestPeopleAsk: what is answered in one piece is answered in the same words, with the same exit code.
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
				t.Errorf("code %d (%v), itself %d (%v)", a.Code, a.Err, b.Code, b.Err)
			}
			for what, of := range map[string][2][]byte{"stdout": {a.Stdout, b.Stdout}, "stderr": {a.Stderr, b.Stderr}} {
				through, directly := sortedLines(runID.ReplaceAll(of[0], nil)), sortedLines(runID.ReplaceAll(of[1], nil))
				if !slices.Equal(through, directly) {
					t.Errorf("%s: %q, itself %q", what, through, directly)
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
			delete(is[i].Status.UserInfo.Extra, "authentication.kubernetes.io/credential-id") // the certificate's
			if len(is[i].Status.UserInfo.Extra) == 0 {
				is[i].Status.UserInfo.Extra = nil
			}
		}
		if is[0].Status.UserInfo.Username != "oidc:alice" || !reflect.DeepEqual(is[0].Status, is[1].Status) {
			t.Errorf("%+v, itself %+v", is[0].Status, is[1].Status)
		}
	})
}

// TestPeopleApply: server-side apply makes objects, finds conflicts and takes fields over, and is on record by the same manager.
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
			said[who.way] = append(said[who.way], fmt.Sprintf("%s %s %s %s", field.Manager, field.Operation, object.Data, bytes.TrimSpace(field.FieldsV1.Raw)))
		}
	}
	if !slices.Equal(said["edge"], said["itself"]) {
		t.Errorf("%q\nitself %q", said["edge"], said["itself"])
	}
	if all := strings.Join(said["edge"], "\n"); !strings.Contains(all, "serverside-applied") || !strings.Contains(all, "conflict") {
		t.Errorf("there was no conflict: %s", all)
	}
}
