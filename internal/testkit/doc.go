// Package testkit has what the tests of several rooms need: it is imported by tests alone.
//
//	ca := testkit.NewAuthority(t, "clients")                          // certificates, also through intermediates
//	pair := ca.Client(t, pkix.Name{CommonName: "jane"})
//	os.WriteFile(file, testkit.PEM(ca.Cert), 0o600)
//	log := &testkit.Buffer{}                                          // written by one goroutine, read by another
//	testkit.WaitFor(t, "the failure", func() bool { return a.Ready() != nil })
//	testkit.HTTP2Server(0).ServeConn(conn, opts)                      // also in a synctest bubble
//
// What knows edge, or Kubernetes, does not belong here.
package testkit
