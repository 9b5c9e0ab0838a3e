// Package testbed brings up everything that edge meets in production, on one machine and for real: Kubernetes clusters
// with nodes and pods, an OpenID Connect provider, a load balancer that carries no SPDY, edge itself, and the clients.
// The end-to-end tests and the demo both stand on it. Nothing in it imitates Kubernetes. It needs root, for the node.
//
//	tb, err := testbed.Open(ctx, os.Stderr, binaries.Clients)         // programs present, state folder made
//	defer tb.Close()                               // every process, mount, bridge, cgroup and file is gone
//	on, err := tb.StartCluster(ctx, cluster.Old)
//	idp, err := tb.StartIssuer(ctx)
//	edge, err := tb.StartEdge(ctx, testbed.EdgeOptions{Cluster: on, Issuer: idp})
//	alb, err := tb.StartALB(ctx, edge.Addr)
//	token, err := idp.Login(ctx, "alice")
//	kc, err := tb.Kubeconfig(alb.Access(token))
//	out, err := tb.Kubectl("1.29", kc).Run(ctx, "get", "pods")
//
// What a run leaves behind when it is killed is inert: files, a bridge, empty cgroups. Each state folder is locked while
// its owner lives; [Clean], which [Open] calls, removes the folders whose owner is gone.
//
// Its rooms, none of which imports one that is named after it: binaries, pki, run, cluster, issuer, network, clients.
package testbed
