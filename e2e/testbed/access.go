package testbed

import (
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Access is how a client reaches a server and who it is there.
type Access struct {
	Server    string // URL
	CA        []byte // PEM, trusted for Server
	Token     string // bearer token; empty: none
	Client    KeyPair
	Namespace string // empty: the one that StartPod uses
}

// AdminAccess goes straight to the API server, past edge, and may do everything.
func (c *Cluster) AdminAccess() Access {
	return Access{Server: c.URL, CA: c.ca.PEM, Client: KeyPair{Cert: c.Admin.CertData, Key: c.Admin.KeyData}}
}

// UserAccess goes straight to the API server, past edge, as a user with groups.
func (c *Cluster) UserAccess(user string, groups ...string) (Access, error) {
	pair, err := c.ca.Issue(user, groups...)
	return Access{Server: c.URL, CA: c.ca.PEM, Client: pair}, err
}

// Kubeconfig writes a file for kubectl and other clients, and returns its path.
func (tb *Testbed) Kubeconfig(a Access) (string, error) {
	if a.Namespace == "" {
		a.Namespace = Namespace
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
	path := filepath.Join(tb.Dir, "kubeconfig-"+randomHex(4))
	return path, clientcmd.WriteToFile(*config, path)
}
