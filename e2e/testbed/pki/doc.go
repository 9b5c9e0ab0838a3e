// Package pki makes the certificates of a run: a certificate authority, and certificates that are
// valid both for servers at 127.0.0.1 and for clients that Kubernetes identifies by user and
// groups.
//
//	ca, err := pki.NewAuthority("kubernetes")
//	pair, err := ca.Issue("alice", "dev")                      // both PEM
//	cert, key, err := ca.IssueFiles(dir, "tls", "edge")        // <dir>/tls.crt and <dir>/tls.key
//
// The package does not depend on the testbed and does not revoke certificates.
package pki
