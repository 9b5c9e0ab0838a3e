package clients

import (
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/run"
)

// Kubeconfig writes a kubeconfig file for an Access (a server's address with a credential) and
// returns the file's path.
func (c *Clients) Kubeconfig(a cluster.Access) (string, error) {
	if a.Namespace == "" {
		a.Namespace = cluster.Namespace
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["testbed"] = &clientcmdapi.Cluster{Server: a.Server, CertificateAuthorityData: a.CA}
	config.AuthInfos["user"] = &clientcmdapi.AuthInfo{
		Token:                 a.Token,
		ClientCertificateData: a.Client.Cert,
		ClientKeyData:         a.Client.Key,
	}
	config.Contexts["testbed"] = &clientcmdapi.Context{Cluster: "testbed", AuthInfo: "user", Namespace: a.Namespace}
	config.CurrentContext = "testbed"
	path := filepath.Join(c.Dir, "kubeconfig-"+run.RandomHex(4))
	return path, clientcmd.WriteToFile(*config, path)
}
