package testbed

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
)

// EdgePodsOptions configures StartEdgePods.
type EdgePodsOptions struct {
	Cluster  *cluster.Cluster // its services must run
	Issuer   *issuer.Issuer
	Replicas int32
	// Namespace of the pods; empty: EdgeNamespace, as in deploy/edge.yaml. With another one, several
	// edges can run in the same cluster.
	Namespace string
	// Memory is the limit of each pod's memory; nil: as in deploy/edge.yaml.
	Memory *resource.Quantity
	// Args are appended to the arguments of `edge serve` in deploy/edge.yaml.
	Args []string
}

// Names of the objects in deploy/edge.yaml, and the port on which a pod serves.
const (
	EdgeNamespace = "edge"
	EdgeService   = "edge" // the Deployment has the same name
	EdgePort      = 6443
)

const (
	edgeImage   = "localhost/edge:1"
	issuerCA    = "issuer-ca" // name of the ConfigMap with the certificate of the issuer's CA
	servingCert = "edge-serving"
)

// StartEdgePods runs edge in pods, from an image like that of deploy/Dockerfile and with the objects
// in deploy/edge.yaml. As a user would, it sets the image, the number of replicas, the namespace,
// the issuer and further arguments, and makes the Secret with the serving certificate. It returns when all pods are available.
func (tb *Testbed) StartEdgePods(ctx context.Context, o EdgePodsOptions) error {
	program, err := tb.BuildEdge(ctx)
	if err != nil {
		return err
	}
	err = o.Cluster.ImportImage(ctx, cluster.ContainerImage{
		Name: edgeImage, Files: map[string]string{"edge": program}, Entrypoint: []string{"/edge"}, User: "65532:65532",
	})
	if err != nil {
		return err
	}
	if o.Namespace == "" {
		o.Namespace = EdgeNamespace
	}
	if err := o.Cluster.EnsureNamespace(ctx, o.Namespace); err != nil {
		return fmt.Errorf("testbed: edge in pods: %w", err)
	}
	more, err := tb.edgeInputs(o)
	if err != nil {
		return err
	}
	objects, err := cluster.Manifest("edge.yaml")
	if err != nil {
		return err
	}
	for i, object := range objects {
		switch object.GetKind() {
		case "Namespace":
			object.SetName(o.Namespace)
		case "ClusterRoleBinding":
			object.SetName(o.Namespace)
			object.Object["subjects"] = []any{map[string]any{"kind": "ServiceAccount", "name": EdgeService, "namespace": o.Namespace}}
		case "ConfigMap":
			object.Object["data"] = map[string]any{
				"issuer-url": o.Issuer.URL, "client-id": issuer.ClientID,
				"username-claim": "preferred_username", "username-prefix": UsernamePrefix,
				"groups-claim": "groups", "groups-prefix": GroupsPrefix,
			}
		case "Deployment":
			if objects[i], err = edited(object, o); err != nil {
				return err
			}
		}
		if objects[i].GetNamespace() != "" {
			objects[i].SetNamespace(o.Namespace)
		}
	}
	if err := o.Cluster.Apply(ctx, false, append(objects, more...)...); err != nil {
		return err
	}
	return o.Cluster.WaitDeployment(ctx, o.Namespace, EdgeService)
}

// StopEdgePods deletes what StartEdgePods has made in a namespace. It does not wait for the end of the
// pods.
func (tb *Testbed) StopEdgePods(ctx context.Context, c *cluster.Cluster, namespace string) error {
	return errors.Join(
		c.Client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}),
		c.Client.RbacV1().ClusterRoleBindings().Delete(ctx, namespace, metav1.DeleteOptions{}),
	)
}

// edgeInputs returns the objects that a user makes for the pods of edge: the Secret with the serving
// certificate, and the certificate of the issuer's CA.
func (tb *Testbed) edgeInputs(o EdgePodsOptions) ([]*unstructured.Unstructured, error) {
	pair, err := tb.CA.Issue("edge")
	if err != nil {
		return nil, err
	}
	secret, err := toUnstructured(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: servingCert, Namespace: o.Namespace},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: pair.Cert, corev1.TLSPrivateKeyKey: pair.Key},
	})
	if err != nil {
		return nil, err
	}
	ca, err := toUnstructured(&corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: issuerCA, Namespace: o.Namespace},
		Data:       map[string]string{"ca.crt": string(o.Issuer.CA)},
	})
	return []*unstructured.Unstructured{secret, ca}, err
}

// edited returns the Deployment of deploy/edge.yaml with the image, the replicas, the CA of the
// issuer and the arguments of o.
func edited(object *unstructured.Unstructured, o EdgePodsOptions) (*unstructured.Unstructured, error) {
	var d appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
		return nil, err
	}
	d.Spec.Replicas = &o.Replicas
	pod := &d.Spec.Template.Spec
	container := &pod.Containers[0]
	container.Image = edgeImage
	if o.Memory != nil {
		container.Resources.Limits[corev1.ResourceMemory] = *o.Memory
		container.Resources.Requests[corev1.ResourceMemory] = *o.Memory
	}
	container.Args = append(append(container.Args, "--oidc-ca-file=/issuer/ca.crt"), o.Args...)
	container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: issuerCA, MountPath: "/issuer", ReadOnly: true})
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: issuerCA, VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: issuerCA}},
	}})
	return toUnstructured(&d)
}

// toUnstructured converts an object for Cluster.Apply. The API server sets its status, so it has
// none.
func toUnstructured(object runtime.Object) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(fields, "status")
	return &unstructured.Unstructured{Object: fields}, nil
}
