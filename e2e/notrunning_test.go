package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/clients"
	"edge/e2e/testbed/cluster"
)

// halfDone is the name of a running pod with two containers, of which doneContainer has already
// ended.
const (
	halfDone      = "half-done"
	doneContainer = "done"
)

func startHalfDone(ctx context.Context, c *cluster.Cluster) error {
	no := false
	container := func(name, script string) corev1.Container {
		return corev1.Container{Name: name, Image: cluster.Image, ImagePullPolicy: corev1.PullNever, Command: []string{"/bin/sh", "-c", script}}
	}
	pods := c.Client.CoreV1().Pods(cluster.Namespace)
	_, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: halfDone},
		Spec: corev1.PodSpec{
			NodeName: c.Node, DNSPolicy: corev1.DNSDefault, RestartPolicy: corev1.RestartPolicyNever,
			AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
			Containers: []corev1.Container{container("main", "trap 'exit 0' TERM; sleep 2147483647 & wait"), container(doneContainer, "exit 0")},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	for {
		pod, err := pods.Get(ctx, halfDone, metav1.GetOptions{})
		if err != nil {
			return err
		}
		running, done := false, false
		for _, s := range pod.Status.ContainerStatuses {
			running = running || s.Name == "main" && s.State.Running != nil
			done = done || s.Name == doneContainer && s.State.Terminated != nil
		}
		if running && done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pod %s: %s %+v", halfDone, pod.Status.Phase, pod.Status.ContainerStatuses)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// klogLine matches one line of kubectl's log. The line's time and process ID differ from run to run.
// Some lines are not in every run: kubectl logs "Unknown stream id 1" only if the error arrives
// before kubectl has opened its streams.
var klogLine = regexp.MustCompile(`(?m)^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} .*\n?`)

// reasonIn returns the error that kubectl printed, without lines of kubectl's log and without the
// prefix that marks an internal error.
// An API server that translates WebSocket to SPDY has already answered 101 when the kubelet's 404
// arrives, so it reports the 404 as an internal error. edge uses SPDY upstream and forwards the 404
// itself.
func reasonIn(r clients.Result) string {
	stderr := klogLine.ReplaceAllString(string(r.Stderr), "")
	return strings.TrimSpace(strings.Replace(stderr, "Internal error occurred: unable", "unable", 1))
}

// TestNotRunning checks exec and attach where they cannot work, such as in a container that has
// ended. kubectl must print the same error as without edge, also behind a load balancer. kubectl
// retries over SPDY when a WebSocket is refused, and the load balancer removes the Upgrade header
// of that retry.
func TestNotRunning(t *testing.T) {
	forEachSite(t, func(t *testing.T, s *site) {
		startCtx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := startHalfDone(startCtx, s.cluster); err != nil {
			t.Fatal(err)
		}
		run := func(k *clients.Kubectl, args []string) clients.Result {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			return k.Run(ctx, append([]string{"-n", cluster.Namespace}, args...)...)
		}
		file, err := bed.Kubeconfig(s.cluster.AdminAccess())
		if err != nil {
			t.Fatal(err)
		}
		for i, args := range [][]string{
			{"exec", halfDone, "-c", doneContainer, "--", "true"},
			{"exec", "-i", halfDone, "-c", doneContainer, "--", "cat"},
			{"attach", halfDone, "-c", doneContainer},
			{"exec", cluster.LostPod, "--", "true"},
		} {
			for j, version := range []string{"1.31", "1.33", "1.35", "1.37"} {
				past := run(bed.Kubectl(version, file), args)
				if past.Code == 0 || len(past.Stderr) == 0 {
					t.Fatalf("kubectl %s, without edge: %q: code %d, %s", version, args, past.Code, past.Stderr)
				}
				// each version, and each command, runs once or twice on each path
				path := paths[(i+j)%len(paths)]
				r := run(s.kubectl(t, path, version, "alice"), args)
				if got, want := reasonIn(r), reasonIn(past); r.Code != past.Code || got != want {
					t.Errorf("kubectl %s, %s: %q: code %d, %s\nwithout edge code %d, %s", version, path, args, r.Code, got, past.Code, want)
				}
			}
		}
	})
}
