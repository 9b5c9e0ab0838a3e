package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

const contextsNamespace = "contexts"

// manyContexts writes a kubeconfig with both clusters, two users, and also contexts whose cluster
// or user is missing. In each cluster, the ConfigMap "here" in contextsNamespace contains the
// cluster's kind.
func manyContexts(ctx context.Context, t *testing.T) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	for kind, s := range sites {
		if err := s.cluster.EnsureNamespace(ctx, contextsNamespace); err != nil {
			t.Fatal(err)
		}
		rules := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps", "secrets", "pods"}, Verbs: []string{"*"}}}
		if err := grantGroup(ctx, s.cluster, contextsNamespace, "dev", rules); err != nil {
			t.Fatal(err)
		}
		here := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "here"}, Data: map[string]string{"cluster": string(kind)}}
		if _, err := s.cluster.Client.CoreV1().ConfigMaps(contextsNamespace).Create(ctx, here, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		to := s.access(balanced, "")
		config.Clusters[string(kind)] = &clientcmdapi.Cluster{Server: to.Server, CertificateAuthorityData: to.CA}
		config.Contexts["alice at "+string(kind)] = &clientcmdapi.Context{Cluster: string(kind), AuthInfo: "alice", Namespace: contextsNamespace}
	}
	for _, user := range []string{"alice", "bob"} {
		config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: tokens[user]}
	}
	config.Contexts["bob"] = &clientcmdapi.Context{Cluster: string(cluster.New), AuthInfo: "bob", Namespace: opsNamespace}
	config.Contexts["no-cluster"] = &clientcmdapi.Context{Cluster: "gone", AuthInfo: "alice"}
	config.Contexts["no-user"] = &clientcmdapi.Context{Cluster: string(cluster.New), AuthInfo: "gone"}
	config.CurrentContext = "alice at " + string(cluster.New)
	file := filepath.Join(bed.Dir, "kubeconfig-contexts")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestConnectContexts checks that --context, --kube-context and `kubectl config` work with `edge
// connect` as without it. It uses two versions of kubectl, and helm, in two clusters, as two users.
func TestConnectContexts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	file := manyContexts(ctx, t)
	mine, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, stdin string, argv ...string) clients.Result {
		t.Helper()
		cmd, err := bed.Connect(ctx, file, nil, append([]string{"--"}, argv...)...)
		if err != nil {
			t.Fatal(err)
		}
		return clients.RunCommand(ctx, cmd, strings.NewReader(stdin))
	}
	for _, version := range []string{connectVersion, "1.37"} {
		t.Run("kubectl "+version, func(t *testing.T) {
			kubectl, plain := bed.Bin.Kubectl[version], bed.Kubectl(version, file)
			for _, command := range []string{"get-contexts", "current-context", "get-users"} {
				directly := plain.Run(ctx, "config", command)
				// For a context whose user is missing in the kubeconfig, edge connect adds an entry
				// for that user, so that edge connect's error can name the user.
				if command == "get-users" {
					directly.Stdout = append(directly.Stdout, "gone\n"...)
				}
				r := run(t, "", kubectl, "config", command)
				if a, b := sortedLines(r.Stdout), sortedLines(directly.Stdout); directly.Code != 0 || r.Code != 0 || !slices.Equal(a, b) {
					t.Errorf("%s: code %d, %q, want %q", command, r.Code, a, b)
				}
			}
			for kind := range sites {
				in := "--context=alice at " + string(kind)
				if err := want(run(t, "", kubectl, in, "get", "configmap", "here", "-o", "jsonpath={.data.cluster}"), 0, string(kind)); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
				r := run(t, "a line\n", kubectl, in, "--namespace="+cluster.Namespace, "exec", "-i", "shell", "--", "sh", "-c", "cat; exit 7")
				if err := want(r, 7, "a line\n"); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
			if err := want(run(t, "", kubectl, "--context=bob", "get", "pods", "-o", "name"), 0, "pod/shell\n"); err != nil {
				t.Error(err)
			}
			for context, says := range map[string]string{
				"no-cluster": `cluster "gone" is not in your kubeconfig`, "no-user": `user "gone" is not in your kubeconfig`,
				// kubectl's own error for a missing context contains the context's name
				"no-context": "no-context",
			} {
				r := run(t, "", kubectl, "--context="+context, "get", "pods")
				if said := strings.ReplaceAll(string(r.Stderr), `\"`, `"`); r.Code == 0 || !strings.Contains(said, says) {
					t.Errorf("%s: code %d, %s", context, r.Code, said)
				}
			}
			const switching = `"$0" config use-context "alice at old" && "$0" get configmap here -o 'jsonpath={.data.cluster}'`
			r := run(t, "", "sh", "-c", switching, kubectl)
			if err := want(r, 0, "Switched to context \"alice at old\".\nold"); err != nil {
				t.Error(err)
			}
			if !strings.Contains(string(r.Stderr), "Your own kubeconfig is unchanged") {
				t.Errorf("after use-context, edge connect printed %q", r.Stderr)
			}
		})
	}
	t.Run("helm", func(t *testing.T) {
		chart, err := filepath.Abs(filepath.Join("testdata", "chart"))
		if err != nil {
			t.Fatal(err)
		}
		there := sites[cluster.Old].cluster
		in := []string{bed.Bin.Helm, "--kube-context=alice at old"}
		r := run(t, "", append(in, "install", releaseName, chart, "--set=node="+there.Node, "--set=image="+cluster.Image)...)
		if err := succeeded(r); err != nil {
			t.Fatal(err)
		}
		for kind, s := range sites {
			_, err := s.cluster.Client.CoreV1().ConfigMaps(contextsNamespace).Get(ctx, releaseName, metav1.GetOptions{})
			if kind == cluster.Old && err != nil || kind == cluster.New && !apierrors.IsNotFound(err) {
				t.Errorf("%s: %v", kind, err)
			}
			r := run(t, "", bed.Bin.Helm, "--kube-context=alice at "+string(kind), "list", "--short")
			if err := succeeded(r); err != nil || (kind == cluster.Old) != strings.Contains(string(r.Stdout), releaseName) {
				t.Errorf("%s: %v, %q", kind, err, r.Stdout)
			}
		}
		if err := succeeded(run(t, "", append(in, "uninstall", releaseName)...)); err != nil {
			t.Error(err)
		}
		if r := run(t, "", bed.Bin.Helm, "--kube-context=no-cluster", "list"); r.Code == 0 || !strings.Contains(string(r.Stderr), "is not in your kubeconfig") {
			t.Errorf("no-cluster: code %d, %s", r.Code, r.Stderr)
		}
	})
	if now, err := os.ReadFile(file); err != nil || string(now) != string(mine) {
		t.Errorf("the caller's own kubeconfig has changed: %v", err)
	}
}

// sortedLines returns the lines of b in sorted order. Tests use it for output without a defined
// order.
func sortedLines(b []byte) []string {
	return slices.Sorted(strings.Lines(string(b)))
}
