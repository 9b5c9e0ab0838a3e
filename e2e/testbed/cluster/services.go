package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"edge/e2e/testbed/run"
)

// Addresses of the cluster's Services. Only pods can reach them.
const (
	serviceNetwork = "10.96.0.0/24"
	apiServiceIP   = "10.96.0.1" // of the Service kubernetes; the first address, as kube-apiserver has it
	dnsServiceIP   = "10.96.0.10"
	clusterDomain  = "cluster.local"
)

// apiServiceNames are the names by which pods reach the API server.
var apiServiceNames = []string{
	apiServiceIP, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain,
}

// controllers selects the controllers of kube-controller-manager: those of its defaults, without the
// one of the node's lifecycle. On a busy machine that would evict the tests' pods.
const controllers = "*,-node-lifecycle-controller"

//go:embed kubeproxy.yaml
var proxyConfig string

// coreDNSImage is the image of CoreDNS, which contains only that program.
const coreDNSImage = "localhost/coredns:1"

// StartServices starts what a cluster needs beside its control plane and its node to run Deployments
// whose pods reach Services by their names: kube-controller-manager, kube-scheduler, kube-proxy and
// CoreDNS. Nothing enforces NetworkPolicies.
func (c *Cluster) StartServices(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		c.startControllerManager, c.startScheduler, c.startProxy, c.startDNS,
	} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("testbed: services of the %s cluster: %w", c.Kind, err)
		}
	}
	return nil
}

func (c *Cluster) startControllerManager(context.Context) error {
	kubeconfig, err := c.kubeconfig("kube-controller-manager", "system:kube-controller-manager")
	if err != nil {
		return err
	}
	key, err := c.CA.WriteKey(c.dir, "ca")
	if err != nil {
		return err
	}
	return c.spawn("kube-controller-manager", c.release().ControllerManager,
		"--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--use-service-account-credentials",
		"--service-account-private-key-file="+c.path("service-accounts.key"), "--root-ca-file="+c.CAFile,
		"--cluster-signing-cert-file="+c.CAFile, "--cluster-signing-key-file="+key,
		"--controllers="+controllers)
}

func (c *Cluster) startScheduler(context.Context) error {
	kubeconfig, err := c.kubeconfig("kube-scheduler", "system:kube-scheduler")
	if err != nil {
		return err
	}
	return c.spawn("kube-scheduler", c.release().Scheduler, "--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0")
}

// startProxy starts kube-proxy in the node's network namespace, whose packet filter it manages.
func (c *Cluster) startProxy(context.Context) error {
	kubeconfig, err := c.kubeconfig("kube-proxy", "system:kube-proxy")
	if err != nil {
		return err
	}
	config := c.path("kube-proxy.yaml")
	if err := run.Render(config, proxyConfig, map[string]any{"Kubeconfig": kubeconfig, "Node": c.Node, "Pods": c.network.Pods}); err != nil {
		return err
	}
	return c.spawn("kube-proxy", c.run.Bin.Nsenter, fmt.Sprintf("--net=/proc/%d/ns/net", c.node.Pid()), c.release().Proxy, "--config="+config)
}

// startDNS runs CoreDNS as a Deployment, and waits until its pod is available.
func (c *Cluster) startDNS(ctx context.Context) error {
	err := c.ImportImage(ctx, ContainerImage{
		Name: coreDNSImage, Files: map[string]string{"coredns": c.run.Bin.CoreDNS}, Entrypoint: []string{"/coredns"}, User: "65532",
	})
	if err != nil {
		return err
	}
	objects, err := renderObjects(coreDNSObjects, map[string]any{"Image": coreDNSImage, "Domain": clusterDomain, "IP": dnsServiceIP})
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, false, objects...); err != nil {
		return err
	}
	return c.WaitDeployment(ctx, metav1.NamespaceSystem, "coredns")
}

//go:embed coredns.yaml
var coreDNSObjects string

// WaitDeployment waits until all pods of a Deployment are available, and no older ones are left.
func (c *Cluster) WaitDeployment(ctx context.Context, namespace, name string) error {
	err := run.Until(ctx, run.StartupTime, "Deployment "+name, func(ctx context.Context) error {
		d, err := c.Client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s := d.Status
		if s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == *d.Spec.Replicas && s.AvailableReplicas == s.UpdatedReplicas && s.Replicas == s.UpdatedReplicas {
			return nil
		}
		return fmt.Errorf("%d of %d pods are available: %s", s.AvailableReplicas, *d.Spec.Replicas, c.describePods(ctx, namespace))
	}, append([]*run.Process{c.node}, c.services...)...)
	return c.withNodeLogs(err)
}

// describePods says, for an error, what the pods of a namespace wait for.
func (c *Cluster) describePods(ctx context.Context, namespace string) string {
	pods, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	var said []string
	for _, pod := range pods.Items {
		said = append(said, fmt.Sprintf("%s: %s", pod.Name, pod.Status.Phase))
		for _, condition := range pod.Status.Conditions {
			if condition.Status != corev1.ConditionTrue && condition.Message != "" {
				said = append(said, condition.Message)
			}
		}
		for _, container := range pod.Status.ContainerStatuses {
			if waiting := container.State.Waiting; waiting != nil {
				said = append(said, waiting.Reason, waiting.Message)
			}
		}
	}
	return strings.Join(said, "; ")
}

// kubeconfig writes a kubeconfig with a client certificate for this user and these groups, and
// returns the file's path.
func (c *Cluster) kubeconfig(name, user string, groups ...string) (string, error) {
	cert, key, err := c.CA.IssueFiles(c.dir, name+"-client", user, groups...)
	if err != nil {
		return "", err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: c.URL, CertificateAuthority: c.CAFile}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificate: cert, ClientKey: key}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	file := c.path(name + ".kubeconfig")
	return file, clientcmd.WriteToFile(*config, file)
}

// spawn starts a program of the cluster, which ends with the run.
func (c *Cluster) spawn(name, program string, args ...string) error {
	process, err := run.Spawn(c.dir, name, append([]string{program}, args...), lazyGC, "PATH=/usr/sbin:/usr/bin:/sbin:/bin:"+filepath.Dir(program))
	if err != nil {
		return err
	}
	c.run.OnClose(process.Kill)
	c.services = append(c.services, process)
	return nil
}
