package cluster

import "edge/e2e/testbed/pki"

// Access is how a client reaches a server and who it is there.
type Access struct {
	Server    string // URL
	CA        []byte // PEM, trusted for Server
	Token     string // bearer token; empty: none
	Client    pki.KeyPair
	Namespace string // empty: the one that StartPod uses
}

// AdminAccess goes straight to the API server, past edge, and may do everything.
func (c *Cluster) AdminAccess() Access {
	return Access{Server: c.URL, CA: c.CA.PEM, Client: pki.KeyPair{Cert: c.Admin.CertData, Key: c.Admin.KeyData}}
}

// UserAccess goes straight to the API server, past edge, as a user with groups.
func (c *Cluster) UserAccess(user string, groups ...string) (Access, error) {
	pair, err := c.CA.Issue(user, groups...)
	return Access{Server: c.URL, CA: c.CA.PEM, Client: pair}, err
}
