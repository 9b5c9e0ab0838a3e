package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/run"
)

// Namespace is the namespace of the pods that StartPod creates, unless PodOptions contains another
// one.
const Namespace = "demo"

// PodOptions describes a pod with one container for StartPod.
type PodOptions struct {
	// namespace, which StartPod creates if it does not exist; empty: the constant Namespace
	Namespace string
	Name      string
	Script    string // script that /bin/sh runs in the pod; empty: a server for /www on port 8080
	// true: the script's stdin is open for one attached client, and ends when that client's input
	// ends
	Stdin bool
	TTY   bool
}

// serveForever is a shell script that serves /www and ends at once on SIGTERM. It needs the trap,
// because process id 1 ignores a signal without a handler. Its last command is `wait`, because a
// shell runs a trap at once during `wait`, but not while another command runs in the foreground.
const serveForever = `trap 'exit 0' TERM; httpd -p 8080 -h /www; sleep 2147483647 & wait`

// StartPod creates a pod and returns when the pod is ready.
func (c *Cluster) StartPod(ctx context.Context, o PodOptions) error {
	if o.Namespace == "" {
		o.Namespace = Namespace
	}
	if o.Script == "" {
		o.Script = serveForever
	}
	if err := c.EnsureNamespace(ctx, o.Namespace); err != nil {
		return fmt.Errorf("testbed: create namespace %s: %w", o.Namespace, err)
	}
	no := false
	pods := c.Client.CoreV1().Pods(o.Namespace)
	_, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: o.Name, Labels: map[string]string{"app": o.Name}},
		Spec: corev1.PodSpec{
			// StartPod assigns the pod to the node itself, because a cluster without StartServices has no scheduler
			NodeName:                     c.Node,
			DNSPolicy:                    corev1.DNSDefault,
			RestartPolicy:                corev1.RestartPolicyNever,
			AutomountServiceAccountToken: &no,
			EnableServiceLinks:           &no,
			Containers: []corev1.Container{{
				Name:            "main",
				Image:           Image,
				ImagePullPolicy: corev1.PullNever,
				Command:         []string{"/bin/sh", "-c", o.Script},
				Stdin:           o.Stdin,
				// otherwise the container runtime would drop the script's output when the attached
				// client's input ends
				StdinOnce: o.Stdin,
				TTY:       o.TTY,
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("testbed: create pod %s: %w", o.Name, err)
	}
	err = run.Until(ctx, run.StartupTime, "pod "+o.Name, func(ctx context.Context) error {
		pod, err := pods.Get(ctx, o.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, cond := range pod.Status.Conditions {
			if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("%s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
	}, c.node)
	return c.withNodeLogs(err)
}
