package cluster

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"edge/e2e/testbed/pki"
	"edge/e2e/testbed/run"
)

// lazyGC is the environment variable with which the cluster's programs, all written in Go, collect
// garbage less often and use more memory. Several clusters share one machine with the tests, on
// which CPU time is scarcer than memory.
const lazyGC = "GOGC=400"

// frontProxy is the user whose client certificate lets it name other users in the headers X-Remote-*.
// The API server is that user at aggregated API servers.
const frontProxy = "front-proxy-client"

func (c *Cluster) startEtcd(ctx context.Context) error {
	client, err := run.FreePort()
	if err != nil {
		return err
	}
	peer, err := run.FreePort()
	if err != nil {
		return err
	}
	clientURL, peerURL := "http://"+run.Loopback(client), "http://"+run.Loopback(peer)
	c.etcd, err = run.Spawn(c.dir, "etcd", []string{c.run.Bin.Etcd,
		"--name=testbed", "--data-dir=" + c.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=" + clientURL, "--advertise-client-urls=" + clientURL,
		"--listen-peer-urls=" + peerURL, "--initial-advertise-peer-urls=" + peerURL, "--initial-cluster=testbed=" + peerURL,
		"--log-level=warn",
	}, lazyGC)
	if err != nil {
		return err
	}
	c.run.OnClose(c.etcd.Kill)
	return c.prepareAPIServer(clientURL)
}

// prepareAPIServer writes the API server's files and stores its arguments in c.apiArgs, so that a
// restarted API server gets the same arguments.
func (c *Cluster) prepareAPIServer(etcdURL string) error {
	port, err := run.FreePort()
	if err != nil {
		return err
	}
	c.URL = "https://" + c.run.Reachable(port)
	serving, servingKey, err := c.CA.IssueFiles(c.dir, "apiserver", "kube-apiserver")
	if err != nil {
		return err
	}
	kubelet, kubeletKey, err := c.CA.IssueFiles(c.dir, "apiserver-kubelet-client", "kube-apiserver-kubelet-client")
	if err != nil {
		return err
	}
	// the API server's identity at aggregated API servers
	proxy, proxyKey, err := c.CA.IssueFiles(c.dir, frontProxy, frontProxy)
	if err != nil {
		return err
	}
	if err := writeAccountKey(c.path("service-accounts.key")); err != nil {
		return err
	}
	if err := os.WriteFile(c.path("audit-policy.yaml"), []byte(auditPolicy), 0o644); err != nil {
		return err
	}
	c.apiArgs = []string{c.release().APIServer,
		"--etcd-servers=" + etcdURL,
		"--bind-address=" + c.run.Address, fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + serving, "--tls-private-key-file=" + servingKey, "--cert-dir=" + c.path("apiserver"),
		"--client-ca-file=" + c.CAFile,
		"--kubelet-client-certificate=" + kubelet, "--kubelet-client-key=" + kubeletKey,
		"--kubelet-certificate-authority=" + c.CAFile, "--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + c.CAFile, "--requestheader-allowed-names=" + frontProxy,
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + proxy, "--proxy-client-key-file=" + proxyKey,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("service-accounts.key"),
		"--service-account-signing-key-file=" + c.path("service-accounts.key"),
		"--service-cluster-ip-range=" + serviceNetwork,
		// the API server runs outside of the node and reaches only pods, not the addresses of Services
		"--enable-aggregator-routing",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
		"--audit-policy-file=" + c.path("audit-policy.yaml"), "--audit-log-path=" + c.path("audit.log"), "--audit-log-mode=blocking",
		"--profiling=false",
	}
	return c.prepareAdmin()
}

// prepareAdmin makes the client with all rights, with which the testbed and the tests manage the
// cluster.
func (c *Cluster) prepareAdmin() error {
	pair, err := c.CA.Issue("admin", "system:masters")
	if err != nil {
		return err
	}
	c.Admin = &rest.Config{
		Host:            c.URL,
		QPS:             -1, // no limit on the client's rate of requests
		TLSClientConfig: rest.TLSClientConfig{CAData: c.CA.PEM, CertData: pair.Cert, KeyData: pair.Key},
	}
	c.Client, err = kubernetes.NewForConfig(c.Admin)
	return err
}

func (c *Cluster) startAPIServer(context.Context) error {
	p, err := run.Spawn(c.dir, "apiserver", c.apiArgs, lazyGC)
	if err != nil {
		return err
	}
	c.apiserver = p
	c.run.OnClose(p.Kill)
	return nil
}

// waitControlPlane waits until the API server reports that it is ready, which includes that its
// default roles exist.
func (c *Cluster) waitControlPlane(ctx context.Context) error {
	return run.Until(ctx, run.StartupTime, "API server", func(ctx context.Context) error {
		return c.Client.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}, c.etcd, c.apiserver)
}

// APIServer returns the process of the cluster's first API server.
func (c *Cluster) APIServer() *run.Process { return c.apiserver }

// RootCA is the name of the ConfigMap that contains the certificate of the API server's CA, in every
// namespace.
const RootCA = "kube-root-ca.crt"

// EnsureNamespace creates a namespace if it does not exist, and in it what pods need and
// kube-controller-manager would make: the ServiceAccount default, and the certificate of the API
// server's CA.
func (c *Cluster) EnsureNamespace(ctx context.Context, name string) error {
	api := c.Client.CoreV1()
	_, err := api.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	_, err = api.ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	_, err = api.ConfigMaps(name).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: RootCA}, Data: map[string]string{"ca.crt": string(c.CA.PEM)},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func writeAccountKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pki.EncodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), 0o600)
}
