package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LostPod is the name of the pod that StartLostPod creates in Namespace: a pod that the node's
// kubelet does not know.
const LostPod = "lost"

// StartLostPod creates a pod that the node's kubelet does not know, so that the kubelet answers 404
// for it. The pod is assigned to a second Node object, which has the address of the real node but
// no declaredFeatures in its status.
func (c *Cluster) StartLostPod(ctx context.Context) error {
	own, err := c.Client.CoreV1().Nodes().Get(ctx, c.Node, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("testbed: create a pod that the kubelet does not know: %w", err)
	}
	name := "second-name-of-" + c.Node
	node, err := c.Client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("testbed: create a pod that the kubelet does not know: %w", err)
	}
	node.Status.Addresses, node.Status.DaemonEndpoints = own.Status.Addresses, own.Status.DaemonEndpoints
	if _, err := c.Client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("testbed: create a pod that the kubelet does not know: %w", err)
	}
	if err := c.EnsureNamespace(ctx, Namespace); err != nil {
		return fmt.Errorf("testbed: create a pod that the kubelet does not know: %w", err)
	}
	_, err = c.Client.CoreV1().Pods(Namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: LostPod},
		Spec:       corev1.PodSpec{NodeName: name, Containers: []corev1.Container{{Name: "main", Image: Image}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("testbed: create a pod that the kubelet does not know: %w", err)
	}
	return nil
}
