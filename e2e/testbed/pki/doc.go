// Package pki makes the certificates of a run: of an authority of its own, for servers at 127.0.0.1 and for clients that
// Kubernetes knows by user and groups.
//
//	ca, err := pki.NewAuthority("kubernetes")
//	pair, err := ca.Issue("alice", "dev")                      // both PEM
//	cert, key, err := ca.IssueFiles(dir, "tls", "edge")        // <dir>/tls.crt and <dir>/tls.key
//
// It knows no testbed and does not revoke.
package pki
