// Package testbed starts real instances of everything that edge meets in production, on one
// machine. These are Kubernetes clusters with a node and pods, an OpenID Connect provider, a load
// balancer that does not support SPDY, edge itself, and the clients. The end-to-end tests and the
// demo use it. It contains no mock of Kubernetes. It must run as root, because the cluster's node
// needs root.
//
//	tb, err := testbed.Open(ctx, os.Stderr, binaries.Clients)  // finds or builds the programs
//	defer tb.Close()  // removes every process, mount, cable, cgroup, address and file
//	on, err := tb.StartCluster(ctx, cluster.Old)
//	idp, err := tb.StartIssuer(ctx)
//	edge, err := tb.StartEdge(ctx, testbed.EdgeOptions{Cluster: on, Issuer: idp})
//	alb, err := tb.StartALB(ctx, edge.Addr)
//	token, err := idp.Login(ctx, "alice")
//	kc, err := tb.Kubeconfig(alb.Access(token))
//	out, err := tb.Kubectl("1.29", kc).Run(ctx, "get", "pods")
//
// If a run of the testbed is killed, it leaves only files, an address and empty cgroups behind, which
// do no harm. The process that owns a state folder holds a lock on it. [Clean], which [Open] calls,
// removes each state folder whose owner has ended.
//
// The packages below testbed are, in the order of their dependencies: binaries, pki, run, cluster,
// issuer, network, clients, conformance, monitoring. A package does not import one that is listed after it.
package testbed
