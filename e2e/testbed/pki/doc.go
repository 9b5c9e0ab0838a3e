// Package pki makes the certificates of one run of the testbed: a certificate authority, and
// certificates that it signs. Each certificate is valid both for a server at 127.0.0.1 and for a
// client that Kubernetes identifies by user and groups.
//
//	ca, err := pki.NewAuthority("kubernetes")
//	pair, err := ca.Issue("alice", "dev")                      // both PEM
//	cert, key, err := ca.IssueFiles(dir, "tls", "edge")        // <dir>/tls.crt and <dir>/tls.key
//
// The package does not depend on the testbed and does not revoke certificates.
package pki
