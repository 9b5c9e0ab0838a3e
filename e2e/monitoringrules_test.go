package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/monitoring"
)

// TestAlertsFire runs promtool's tests of deploy/monitoring/rules.yaml: each alert fires for an
// edge that has the problem, and for no other.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"check", "rules", monitoringFile(t, "rules.yaml")},
		{"test", "rules", monitoringFile(t, "rules_test.yaml")},
	} {
		if _, err := bed.Promtool(t.Context(), args...); err != nil {
			t.Error(err)
		}
	}
}

// TestAlertThatDoesNotFire checks that TestAlertsFire would notice an alert that never fires, and
// one that always does: with other thresholds in the rules, promtool's tests fail.
func TestAlertThatDoesNotFire(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile(monitoringFile(t, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(monitoringFile(t, "rules_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"never":  {"expr: edge_ready == 0", "expr: edge_ready == 2"},
		"always": {"expr: edge_ready == 0", "expr: edge_ready >= 0"},
	} {
		changed := strings.Replace(string(rules), change[0], change[1], 1)
		if changed == string(rules) {
			t.Fatalf("rules.yaml does not contain %q", change[0])
		}
		dir := t.TempDir()
		file := filepath.Join(dir, "rules_test.yaml")
		if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, tests, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := bed.Promtool(t.Context(), "test", "rules", file); err == nil || !strings.Contains(err.Error(), "EdgeNotReady") {
			t.Errorf("%s: %v, want that promtool's tests fail because of EdgeNotReady", name, err)
		}
	}
}

var (
	shownYAML   = regexp.MustCompile("(?s)```yaml\n(scrape_configs:.*?)```")
	discovery   = regexp.MustCompile(`(?m)^    kubernetes_sd_configs:\n(?:      .*\n)+`)
	notInLabels = regexp.MustCompile(`[^a-zA-Z0-9_]`)
)

// portLabel is the label of a target that contains the name of the pod's port.
const portLabel = "__meta_kubernetes_pod_container_port_name"

// TestScrapeConfiguration checks the scrape configuration that docs/operations.md shows: Prometheus
// accepts it together with the rules. Of the ports of a pod as deploy/edge.yaml starts it, Prometheus
// scrapes the port of the probes and no other. Debian builds Prometheus without
// kubernetes_sd_configs, so the test puts static targets in its place, with the labels that it gives
// to those ports.
func TestScrapeConfiguration(t *testing.T) {
	t.Parallel()
	root, err := binaries.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := shownYAML.FindSubmatch(page)
	if shown == nil || !discovery.Match(shown[1]) {
		t.Fatal("docs/operations.md shows no scrape configuration with kubernetes_sd_configs")
	}
	targets := portsOfPod(t)
	static, err := json.Marshal(targets)
	if err != nil {
		t.Fatal(err)
	}
	config := discovery.ReplaceAllLiteralString(string(shown[1]), "    static_configs: "+string(static)+"\n")
	config = "rule_files: [" + monitoringFile(t, "rules.yaml") + "]\n" + config
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := bed.Promtool(t.Context(), "check", "config", file); err != nil {
		t.Fatal(err)
	}
	prometheus := startPrometheus(t, monitoring.PrometheusOptions{Config: config})
	var active []monitoring.Target
	eventually(t.Context(), t, patience, "the targets", func(ctx context.Context) error {
		var dropped []monitoring.Target
		var err error
		if active, dropped, err = prometheus.FoundTargets(ctx); err == nil && len(active)+len(dropped) != len(targets) {
			err = fmt.Errorf("%d and %d, want %d together", len(active), len(dropped), len(targets))
		}
		return err
	})
	if len(active) != 1 || active[0].DiscoveredLabels[portLabel] != "probes" {
		t.Errorf("Prometheus scrapes %v, want the port probes only", active)
	}
}

// staticTargets is an element of static_configs.
type staticTargets struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// portsOfPod returns a target for each port of a pod of deploy/edge.yaml, with the labels that
// kubernetes_sd_configs gives to it. Nothing listens at the targets' addresses.
func portsOfPod(t *testing.T) (targets []staticTargets) {
	t.Helper()
	objects, err := cluster.Manifest("edge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		var deployment appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &deployment); err != nil {
			t.Fatal(err)
		}
		pod := deployment.Spec.Template
		for i, port := range pod.Spec.Containers[0].Ports {
			labels := map[string]string{portLabel: port.Name}
			for name, value := range pod.Labels {
				labels["__meta_kubernetes_pod_label_"+notInLabels.ReplaceAllString(name, "_")] = value
			}
			targets = append(targets, staticTargets{[]string{fmt.Sprintf("127.0.0.1:%d", i+1)}, labels})
		}
	}
	if len(targets) < 2 {
		t.Fatalf("deploy/edge.yaml has the ports %v", targets)
	}
	return targets
}
