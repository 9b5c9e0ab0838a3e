package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"edge/e2e/testbed/run"
)

// Namespace is the namespace of StartPod's pods unless PodOptions names another one.
const Namespace = "demo"

// PodOptions describes a pod with one container.
type PodOptions struct {
	Namespace string // empty: Namespace; StartPod creates the namespace if it does not exist
	Name      string
	Script    string // script for /bin/sh; empty: serve /www on port 8080 until the pod ends
	Stdin     bool   // keep stdin open for one attach; the end of its input ends the script's stdin
	TTY       bool
}

// serveForever is a shell script that ends at once on SIGTERM. A shell in `wait` handles signals,
// also as process 1.
const serveForever = `trap 'exit 0' TERM; httpd -p 8080 -h /www; sleep 2147483647 & wait`

// StartPod creates a pod and returns when it is ready.
func (c *Cluster) StartPod(ctx context.Context, o PodOptions) error {
	if o.Namespace == "" {
		o.Namespace = Namespace
	}
	if o.Script == "" {
		o.Script = serveForever
	}
	if err := c.EnsureNamespace(ctx, o.Namespace); err != nil {
		return fmt.Errorf("testbed: namespace %s: %w", o.Namespace, err)
	}
	no := false
	pods := c.Client.CoreV1().Pods(o.Namespace)
	_, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: o.Name, Labels: map[string]string{"app": o.Name}},
		Spec: corev1.PodSpec{
			NodeName:                     c.Node, // the cluster has no scheduler
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
				StdinOnce:       o.Stdin, // otherwise the runtime drops the output for an attached client when that client's input ends
				TTY:             o.TTY,
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
