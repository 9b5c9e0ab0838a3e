package cluster

import "edge/e2e/testbed/pki"

// Access is what a client needs to connect to a server: the server's address and a credential.
type Access struct {
	Server    string // the server's URL
	CA        []byte // PEM certificates of the authorities that the client trusts for this server
	Token     string // bearer token; empty: the client sends no token
	Client    pki.KeyPair
	Namespace string // namespace in the client's kubeconfig; empty: the constant Namespace
}

// AdminAccess returns the address of the API server itself, not of edge, and a credential that has
// all rights.
func (c *Cluster) AdminAccess() Access {
	return Access{Server: c.URL, CA: c.CA.PEM, Client: pki.KeyPair{Cert: c.Admin.CertData, Key: c.Admin.KeyData}}
}

// UserAccess returns the address of the API server itself, not of edge, and a client certificate
// for this user and these groups.
func (c *Cluster) UserAccess(user string, groups ...string) (Access, error) {
	pair, err := c.CA.Issue(user, groups...)
	return Access{Server: c.URL, CA: c.CA.PEM, Client: pair}, err
}
