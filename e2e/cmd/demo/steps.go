package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed"
	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
	"edge/e2e/testbed/network"
)

const (
	kubectlVersion = "1.35"
	user           = "alice"
	group          = "dev" // group of the user alice, with rights in the demo's namespace
	pod            = "shell"
	megabytes      = 100
)

// step is one step of the demo. The demo prints one line for it: the text in the field what, then
// the text that the function run returns.
type step struct {
	what string
	run  func(context.Context) (said string, err error)
}

// demo holds the values that a step of the demo creates and later steps use.
type demo struct {
	tb         *testbed.Testbed
	cluster    *cluster.Cluster
	issuer     *issuer.Issuer
	edge       *testbed.Edge
	alb        *network.LoadBalancer
	kubeconfig string
	kubectl    *clients.Kubectl
	file, hash string // path of the file that the demo copies with kubectl cp, and its SHA-256
}

func (d *demo) steps() []step {
	return []step{
		{"an old Kubernetes cluster, no WebSocket v5, no tunnelled port-forward", d.startCluster},
		{"an OpenID Connect provider", d.startIssuer},
		{"edge", d.startEdge},
		{"a load balancer that drops SPDY and closes idle connections after 60 s", d.startALB},
		{"group dev gets rights in namespace " + cluster.Namespace, d.grant},
		{"alice logs in", d.login},
		{"kubectl get pods", d.get},
		{"kubectl exec, exit code 7", d.exec},
		{fmt.Sprintf("kubectl cp, %d MB up", megabytes), d.copyUp},
		{fmt.Sprintf("kubectl cp, %d MB down", megabytes), d.copyDown},
		{"kubectl port-forward, an HTTP request", d.portForward},
	}
}

func (d *demo) startCluster(ctx context.Context) (string, error) {
	var err error
	if d.cluster, err = d.tb.StartCluster(ctx, cluster.Old); err != nil {
		return "", err
	}
	return ", at " + d.cluster.URL, d.cluster.StartPod(ctx, cluster.PodOptions{Name: pod})
}

func (d *demo) startIssuer(ctx context.Context) (said string, err error) {
	if d.issuer, err = d.tb.StartIssuer(ctx); err != nil {
		return "", err
	}
	return ", at " + d.issuer.URL, nil
}

func (d *demo) startEdge(ctx context.Context) (said string, err error) {
	d.edge, err = d.tb.StartEdge(ctx, testbed.EdgeOptions{Cluster: d.cluster, Issuer: d.issuer})
	if err != nil {
		return "", err
	}
	return ", at " + d.edge.URL, nil
}

func (d *demo) startALB(ctx context.Context) (said string, err error) {
	if d.alb, err = d.tb.StartALB(ctx, d.edge.Addr); err != nil {
		return "", err
	}
	return ", at " + d.alb.URL, nil
}

func (d *demo) grant(ctx context.Context) (string, error) {
	meta := metav1.ObjectMeta{Name: group}
	rbac := d.cluster.Client.RbacV1()
	_, err := rbac.Roles(cluster.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "pods/log"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"pods/exec", "pods/attach", "pods/portforward"}, Verbs: []string{"create"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	_, err = rbac.RoleBindings(cluster.Namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: group},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: testbed.GroupsPrefix + group}},
	}, metav1.CreateOptions{})
	return "", err
}

func (d *demo) login(ctx context.Context) (string, error) {
	token, err := d.issuer.Login(ctx, user)
	if err != nil {
		return "", err
	}
	if d.kubeconfig, err = d.tb.Kubeconfig(d.alb.Access(token)); err != nil {
		return "", err
	}
	d.kubectl = d.tb.Kubectl(kubectlVersion, d.kubeconfig)
	return "", nil
}

func (d *demo) get(ctx context.Context) (string, error) {
	return succeed(d.kubectl.Run(ctx, "get", "pods", "--output=name"))
}

func (d *demo) exec(ctx context.Context) (string, error) {
	r := d.kubectl.RunInput(ctx, strings.NewReader("hello"), "exec", "-i", pod, "--", "sh", "-c", "cat; exit 7")
	if r.Err != nil || r.Code != 7 || string(r.Stdout) != "hello" {
		return "", errors.Join(fmt.Errorf("exit code %d, stdout %q, stderr %q", r.Code, r.Stdout, r.Stderr), r.Err)
	}
	return ": stdin came back, exit code 7", nil
}

func (d *demo) copyUp(ctx context.Context) (string, error) {
	content := make([]byte, megabytes<<20)
	rand.Read(content)
	sum := sha256.Sum256(content)
	d.file, d.hash = filepath.Join(d.tb.Dir, "file"), hex.EncodeToString(sum[:])
	if err := os.WriteFile(d.file, content, 0o600); err != nil {
		return "", err
	}
	if _, err := succeed(d.kubectl.Run(ctx, "cp", d.file, pod+":/tmp/file")); err != nil {
		return "", err
	}
	said, err := succeed(d.kubectl.Run(ctx, "exec", pod, "--", "sha256sum", "/tmp/file"))
	if err == nil && !strings.Contains(said, d.hash) {
		err = errors.New("the SHA-256 of the file differs in the pod: " + said)
	}
	return ": same hash in the pod", err
}

func (d *demo) copyDown(ctx context.Context) (string, error) {
	back := d.file + ".back"
	if _, err := succeed(d.kubectl.Run(ctx, "cp", pod+":/tmp/file", back)); err != nil {
		return "", err
	}
	content, err := os.ReadFile(back)
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != d.hash {
		return "", errors.New("the SHA-256 of the copied file differs")
	}
	return ": same hash here", nil
}

func (d *demo) portForward(ctx context.Context) (string, error) {
	p, err := d.kubectl.PortForward(ctx, "pod/"+pod, 8080)
	if err != nil {
		return "", err
	}
	defer p.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addr+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && string(page) != cluster.Page {
		err = fmt.Errorf("the pod returned an unexpected page: %q", page)
	}
	return ": " + strings.TrimSpace(string(page)), err
}

// succeed returns the client's stdout as the text of a step's output line. It returns an error if
// the client did not exit with 0.
func succeed(r clients.Result) (string, error) {
	if r.Err != nil || r.Code != 0 {
		return "", errors.Join(fmt.Errorf("exit code %d: %s", r.Code, r.Stderr), r.Err)
	}
	return ": " + strings.TrimSpace(string(r.Stdout)), nil
}
