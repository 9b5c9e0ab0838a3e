// Package testkit has helpers that the tests of several packages need. Only tests import it.
//
//	ca := testkit.NewAuthority(t, "clients")      // issues client and intermediate certificates
//	pair := ca.Client(t, pkix.Name{CommonName: "jane"})
//	os.WriteFile(file, testkit.PEM(ca.Cert), 0o600)
//	testkit.StartTLS(httptest.NewUnstartedServer(h)) // cheaper handshakes than httptest's own
//	log := &testkit.Buffer{}                      // one goroutine writes it, another reads it
//	testkit.WaitFor(t, "the failure", func() bool { return a.Ready() != nil })
//	testkit.HTTP2Server(0).ServeConn(conn, opts)  // works in a synctest bubble too
//
// A helper that depends on edge or on Kubernetes does not belong here.
package testkit
