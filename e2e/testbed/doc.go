// Package testbed brings up everything that edge meets in production, on one machine and for real: Kubernetes clusters
// with nodes and pods, an OpenID Connect provider, a load balancer that carries no SPDY, edge itself, and the clients.
// The end-to-end tests and the demo both stand on it. Nothing in it imitates Kubernetes.
//
//	tb, err := testbed.Open(ctx, os.Stderr, binaries.Clients)         // programs present, state folder made
//	defer tb.Close()                               // every process, mount, bridge, cgroup and file is gone
//	cluster, err := tb.StartCluster(ctx, testbed.Old)
//	issuer, err := tb.StartIssuer(ctx)
//	edge, err := tb.StartEdge(ctx, testbed.EdgeOptions{Cluster: cluster, Issuer: issuer})
//	alb, err := tb.StartALB(ctx, edge.Addr)
//	token, err := issuer.Login(ctx, "alice")
//	kc, err := tb.Kubeconfig(alb.Access(token))
//	out, err := tb.Kubectl("1.29", kc).Run(ctx, "get", "pods")
//
// A cluster is etcd, kube-apiserver and one node. The node, containerd with its pods and the kubelet, lives in a PID
// namespace and a mount namespace of its own: when its first process dies, the kernel ends everything in it, and its
// mounts and network namespaces go too. Pods have a bridge without an address, so no packet of theirs leaves the
// machine and every cluster may use the same addresses.
//
// What a run leaves behind when it is killed is inert: files, a bridge, empty cgroups. Each state folder is locked while
// its owner lives; [Clean], which [Open] calls, removes the folders whose owner is gone.
//
// Several runs at once do not meet: ports are picked free, names carry the run's id, everything else is in its folder.
//
// It needs root, for the node.
package testbed
