package testbed

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// startupTime bounds each wait of a start, on a machine that also runs tests. A kubelet that was slow to register its node waits
// two minutes before it tries again to be ready.
const startupTime = 5 * time.Minute

func (c *Cluster) startEtcd(ctx context.Context) error {
	client, err := freePort()
	if err != nil {
		return err
	}
	peer, err := freePort()
	if err != nil {
		return err
	}
	clientURL, peerURL := "http://"+loopback(client), "http://"+loopback(peer)
	c.etcd, err = spawn(c.dir, "etcd", []string{c.tb.Bin.Etcd,
		"--name=testbed", "--data-dir=" + c.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=" + clientURL, "--advertise-client-urls=" + clientURL,
		"--listen-peer-urls=" + peerURL, "--initial-advertise-peer-urls=" + peerURL, "--initial-cluster=testbed=" + peerURL,
		"--log-level=warn",
	})
	if err != nil {
		return err
	}
	c.tb.onClose(c.etcd.Kill)
	return c.prepareAPIServer(clientURL)
}

// prepareAPIServer writes the API server's files and decides its arguments, so that a restarted one is the same.
func (c *Cluster) prepareAPIServer(etcdURL string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	c.URL = "https://" + loopback(port)
	serving, servingKey, err := c.ca.issueFiles(c.dir, "apiserver", "kube-apiserver")
	if err != nil {
		return err
	}
	kubelet, kubeletKey, err := c.ca.issueFiles(c.dir, "apiserver-kubelet-client", "kube-apiserver-kubelet-client")
	if err != nil {
		return err
	}
	if err := writeAccountKey(c.path("service-accounts.key")); err != nil {
		return err
	}
	if err := os.WriteFile(c.path("audit-policy.yaml"), []byte(auditPolicy), 0o644); err != nil {
		return err
	}
	gates, _ := c.Kind.gates()
	c.apiArgs = []string{c.tb.Bin.APIServer,
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + serving, "--tls-private-key-file=" + servingKey, "--cert-dir=" + c.path("apiserver"),
		"--client-ca-file=" + c.CAFile,
		"--kubelet-client-certificate=" + kubelet, "--kubelet-client-key=" + kubeletKey,
		"--kubelet-certificate-authority=" + c.CAFile, "--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("service-accounts.key"),
		"--service-account-signing-key-file=" + c.path("service-accounts.key"),
		"--service-cluster-ip-range=10.96.0.0/24",
		"--endpoint-reconciler-type=none", // nothing may advertise a loopback address
		"--authorization-mode=Node,RBAC",
		"--disable-admission-plugins=ServiceAccount", // it wants a controller manager's accounts and tokens
		"--allow-privileged",
		"--audit-policy-file=" + c.path("audit-policy.yaml"), "--audit-log-path=" + c.path("audit.log"), "--audit-log-mode=blocking",
		"--profiling=false",
	}
	if gates != "" {
		c.apiArgs = append(c.apiArgs, "--feature-gates="+gates)
	}
	return c.prepareAdmin()
}

// prepareAdmin makes the client that the testbed and the tests rule the cluster with.
func (c *Cluster) prepareAdmin() error {
	pair, err := c.ca.Issue("admin", "system:masters")
	if err != nil {
		return err
	}
	c.Admin = &rest.Config{
		Host:            c.URL,
		QPS:             -1, // no limit
		TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.PEM, CertData: pair.Cert, KeyData: pair.Key},
	}
	c.Client, err = kubernetes.NewForConfig(c.Admin)
	return err
}

func (c *Cluster) startAPIServer(context.Context) error {
	p, err := spawn(c.dir, "apiserver", c.apiArgs)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.apiserver = p
	c.mu.Unlock()
	c.tb.onClose(p.Kill)
	return nil
}

// waitControlPlane waits until the API server is ready and has its default roles.
func (c *Cluster) waitControlPlane(ctx context.Context) error {
	return until(ctx, startupTime, "API server", func(ctx context.Context) error {
		return c.Client.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}, c.etcd, c.currentAPIServer())
}

func (c *Cluster) currentAPIServer() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apiserver
}

// APIServer is the API server's process, until KillAPIServer.
func (c *Cluster) APIServer() *Process { return c.currentAPIServer() }

// KillAPIServer ends the API server as a crash does.
func (c *Cluster) KillAPIServer() { c.currentAPIServer().Kill() }

// RestartAPIServer starts the API server again after KillAPIServer and waits until it is ready.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	return c.waitControlPlane(ctx)
}

// StartAnotherAPIServer starts a further API server of the cluster, with arguments that are added to and override those of the
// first, and returns when it is ready. Upstream has its address, for EdgeOptions.
func (c *Cluster) StartAnotherAPIServer(ctx context.Context, args ...string) (upstream Access, err error) {
	upstream, _, err = c.StartAPIServerProcess(ctx, args...)
	return upstream, err
}

// StartAPIServerProcess is StartAnotherAPIServer for a test that ends it, or asks it to end.
func (c *Cluster) StartAPIServerProcess(ctx context.Context, args ...string) (upstream Access, p *Process, err error) {
	port, err := freePort()
	if err != nil {
		return Access{}, nil, err
	}
	own := []string{fmt.Sprintf("--secure-port=%d", port), "--audit-log-path=" + c.path(fmt.Sprintf("audit-%d.log", port))}
	if p, err = spawn(c.dir, fmt.Sprintf("apiserver-%d", port), slices.Concat(c.apiArgs, own, args)); err != nil {
		return Access{}, nil, err
	}
	c.tb.onClose(p.Kill)
	config := rest.CopyConfig(c.Admin)
	config.Host = "https://" + loopback(port)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return Access{}, nil, err
	}
	return Access{Server: config.Host, CA: c.ca.PEM}, p, until(ctx, startupTime, "another API server", func(ctx context.Context) error {
		return client.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}, p)
}

// EnsureNamespace creates a namespace if it is not there.
func (c *Cluster) EnsureNamespace(ctx context.Context, name string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := c.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
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
	return os.WriteFile(path, pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), 0o600)
}
