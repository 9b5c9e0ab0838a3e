package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

var helmVerbs = []verb{
	{name: "install, upgrade, uninstall", run: helmInstall},
	{name: "test, its logs, a test that fails", run: helmTest},
}

// release is a helm release: an installation of the chart in testdata/chart. The user alice
// installs it in a namespace of its own.
type release struct {
	tr        *trial
	namespace string
	file      string // path of the kubeconfig for helm
}

const releaseName = "greeter"

// newRelease makes the namespace for a helm release and grants alice's group the rights that the
// installation needs.
func newRelease(ctx context.Context, tr *trial, suffix string) (*release, error) {
	r := &release{tr: tr, namespace: tr.name + "-" + suffix}
	if err := tr.site.cluster.EnsureNamespace(ctx, r.namespace); err != nil {
		return nil, err
	}
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "configmaps", "secrets"}, Verbs: []string{rbacv1.VerbAll}},
		{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
	}
	if err := grantGroup(ctx, tr.site.cluster, r.namespace, "dev", rules); err != nil {
		return nil, err
	}
	to := tr.access()
	to.Namespace = r.namespace
	var err error
	r.file, err = bed.Kubeconfig(to)
	return r, err
}

// helm runs a helm command on the release. For install and upgrade it adds the chart's path, and
// the chart's values for the node and the image.
func (r *release) helm(ctx context.Context, command string, args ...string) clients.Result {
	argv := []string{command, releaseName}
	if command == "install" || command == "upgrade" {
		chart, err := filepath.Abs(filepath.Join("testdata", "chart"))
		if err != nil {
			return clients.Result{Err: err}
		}
		argv = append(argv, chart, "--wait", "--set=node="+r.tr.site.cluster.Node, "--set=image="+cluster.Image)
	}
	return bed.Helm(ctx, r.file, slices.Concat(argv, []string{"--timeout=80s"}, args)...)
}

// deployed checks the installation in the cluster: the pod must be ready, the ConfigMap must
// contain this greeting, and helm must have stored this number of revisions.
func (r *release) deployed(ctx context.Context, greeting string, revisions int) error {
	core := r.tr.site.cluster.Client.CoreV1()
	pod, err := core.Pods(r.namespace).Get(ctx, releaseName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
	made, err := core.ConfigMaps(r.namespace).Get(ctx, releaseName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	kept, err := core.Secrets(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + releaseName})
	if err != nil {
		return err
	}
	if !ready || made.Data["greeting"] != greeting || len(kept.Items) != revisions {
		return fmt.Errorf("pod ready %t, greeting %q, %d revisions; want true, %q, %d", ready, made.Data["greeting"], len(kept.Items), greeting, revisions)
	}
	return nil
}

// gone checks that the cluster contains nothing of the installation any more.
func (r *release) gone(ctx context.Context) error {
	core, all := r.tr.site.cluster.Client.CoreV1(), metav1.ListOptions{}
	pods, err := core.Pods(r.namespace).List(ctx, all)
	if err != nil {
		return err
	}
	// the certificate of the API server's CA is in every namespace
	maps, err := core.ConfigMaps(r.namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name!=" + cluster.RootCA})
	if err != nil {
		return err
	}
	secrets, err := core.Secrets(r.namespace).List(ctx, all)
	if err == nil && len(pods.Items)+len(maps.Items)+len(secrets.Items) > 0 {
		err = fmt.Errorf("left: %d pods, %d config maps, %d secrets", len(pods.Items), len(maps.Items), len(secrets.Items))
	}
	return err
}

// succeeded returns an error unless the client exited with 0.
func succeeded(r clients.Result) error {
	if r.Err != nil || r.Code != 0 {
		return fmt.Errorf("code %d (%v), stdout %.500q, stderr %.1000q", r.Code, r.Err, r.Stdout, r.Stderr)
	}
	return nil
}

func helmInstall(ctx context.Context, tr *trial) error {
	r, err := newRelease(ctx, tr, "install")
	if err != nil {
		return err
	}
	if err := errors.Join(succeeded(r.helm(ctx, "install")), r.deployed(ctx, "hello", 1)); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err := errors.Join(succeeded(r.helm(ctx, "upgrade", "--set=greeting=bye")), r.deployed(ctx, "bye", 2)); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	var list []struct{ Name, Revision, Status string }
	said := bed.Helm(ctx, r.file, "list", "--output=json")
	if err := json.Unmarshal(said.Stdout, &list); err != nil || len(list) != 1 || list[0].Revision != "2" || list[0].Status != "deployed" {
		return fmt.Errorf("list: %v: %w", err, succeeded(said))
	}
	if err := errors.Join(succeeded(r.helm(ctx, "uninstall", "--wait")), r.gone(ctx)); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	return nil
}

// helmTest checks `helm test`, which runs the chart's test pod and prints the pod's log: once with
// a pod that succeeds and once with a pod that fails.
func helmTest(ctx context.Context, tr *trial) error {
	r, err := newRelease(ctx, tr, "test")
	if err != nil {
		return err
	}
	for _, step := range []struct {
		command, expected string
		code              int
	}{
		{"install", "hello", 0},
		{"upgrade", "something else", 1},
	} {
		if err := succeeded(r.helm(ctx, step.command, "--set=expected="+step.expected)); err != nil {
			return fmt.Errorf("%s: %w", step.command, err)
		}
		said := r.helm(ctx, "test", "--logs")
		if said.Err != nil || said.Code != step.code || !strings.Contains(string(said.Stdout), "the greeting is hello\n") {
			return fmt.Errorf("test: code %d (%v), want %d: stdout %.1000q, stderr %.1000q", said.Code, said.Err, step.code, said.Stdout, said.Stderr)
		}
	}
	return nil
}
