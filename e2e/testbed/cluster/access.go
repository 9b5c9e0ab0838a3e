package cluster

import "edge/e2e/testbed/pki"

// Access is the address of a server and the credential with which a client connects to it.
type Access struct {
	Server    string // URL
	CA        []byte // PEM certificates that the client trusts for Server
	Token     string // bearer token; empty: the client sends none
	Client    pki.KeyPair
	Namespace string // default namespace; empty: Namespace
}

// AdminAccess connects directly to the API server, not through edge, with all rights.
func (c *Cluster) AdminAccess() Access {
	return Access{Server: c.URL, CA: c.CA.PEM, Client: pki.KeyPair{Cert: c.Admin.CertData, Key: c.Admin.KeyData}}
}

// UserAccess connects directly to the API server, not through edge, with a certificate for user and
// groups.
func (c *Cluster) UserAccess(user string, groups ...string) (Access, error) {
	pair, err := c.CA.Issue(user, groups...)
	return Access{Server: c.URL, CA: c.CA.PEM, Client: pair}, err
}
