package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/template"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/run"
)

// Names in deploy/edge.yaml of the objects that give edge its identity.
const (
	edgeNamespace = "edge"
	edgeAccount   = "edge"
)

// identityKinds are the kinds of objects in deploy/edge.yaml that give edge its identity and
// rights. Objects of other kinds, such as the Deployment, run edge.
var identityKinds = map[string]bool{"Namespace": true, "ServiceAccount": true, "ClusterRole": true, "ClusterRoleBinding": true}

// resources maps each kind of object in deploy/ to its API resource. The cluster's discovery could
// provide this too, but the test must fail if a manifest contains a kind that nobody has reviewed.
var resources = map[string]struct {
	name       string
	namespaced bool
}{
	"Namespace":           {"namespaces", false},
	"ServiceAccount":      {"serviceaccounts", true},
	"ClusterRole":         {"clusterroles", false},
	"ClusterRoleBinding":  {"clusterrolebindings", false},
	"Role":                {"roles", true},
	"RoleBinding":         {"rolebindings", true},
	"ConfigMap":           {"configmaps", true},
	"Secret":              {"secrets", true},
	"Deployment":          {"deployments", true},
	"Service":             {"services", true},
	"PodDisruptionBudget": {"poddisruptionbudgets", true},
	"NetworkPolicy":       {"networkpolicies", true},
}

// Manifest returns the objects in a file of the folder deploy/.
func Manifest(name string) ([]*unstructured.Unstructured, error) {
	root, err := binaries.RepoRoot()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy", name))
	if err != nil {
		return nil, err
	}
	objects, err := parseObjects(text)
	if err != nil {
		return nil, fmt.Errorf("deploy/%s: %w", name, err)
	}
	return objects, nil
}

// renderObjects executes a Go template of Kubernetes objects in YAML with values.
func renderObjects(text string, values any) ([]*unstructured.Unstructured, error) {
	t, err := template.New("objects").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, values); err != nil {
		return nil, err
	}
	return parseObjects(b.Bytes())
}

// parseObjects returns the Kubernetes objects in a YAML text.
func parseObjects(text []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := documents.Decode(object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if object.Object != nil {
			objects = append(objects, object)
		}
	}
}

// Apply applies the objects with server-side apply. If dryRun is true, the API server validates the
// objects but does not store them.
func (c *Cluster) Apply(ctx context.Context, dryRun bool, objects ...*unstructured.Unstructured) error {
	client, err := dynamic.NewForConfig(c.Admin)
	if err != nil {
		return err
	}
	options := metav1.ApplyOptions{FieldManager: "testbed", Force: true}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	for _, object := range objects {
		kind := object.GroupVersionKind()
		resource, known := resources[kind.Kind]
		if !known {
			return fmt.Errorf("testbed: apply %s %s: review this kind of object and add it to the map resources", kind.Kind, object.GetName())
		}
		of := client.Resource(schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: resource.name})
		if resource.namespaced {
			_, err = of.Namespace(object.GetNamespace()).Apply(ctx, object.GetName(), object, options)
		} else {
			_, err = of.Apply(ctx, object.GetName(), object, options)
		}
		if err != nil {
			return fmt.Errorf("testbed: apply %s %s: %w", kind.Kind, object.GetName(), err)
		}
	}
	return nil
}

// GrantOptions applies deploy/options.yaml, which gives edge the rights that it needs for flags
// that are off by default.
func (c *Cluster) GrantOptions(ctx context.Context) error {
	objects, err := Manifest("options.yaml")
	if err != nil {
		return err
	}
	return c.Apply(ctx, false, objects...)
}

// EdgeToken applies the objects in deploy/edge.yaml that give edge its identity and rights, but not
// those that run edge. It returns a token of edge's service account.
func (c *Cluster) EdgeToken(ctx context.Context) (string, error) {
	objects, err := Manifest("edge.yaml")
	if err != nil {
		return "", err
	}
	for _, object := range objects {
		if !identityKinds[object.GetKind()] {
			continue
		}
		if err := c.Apply(ctx, false, object); err != nil {
			return "", err
		}
	}
	hours := int64(8 * 60 * 60)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hours}}
	answer, err := c.Client.CoreV1().ServiceAccounts(edgeNamespace).CreateToken(ctx, edgeAccount, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("testbed: create a token for edge: %w", err)
	}
	return run.NoteToken(answer.Status.Token, "edge's own token"), nil
}
