// Command demo shows what edge is for: kubectl exec and port-forward through a load balancer that
// does not support SPDY. It starts an older Kubernetes cluster, an identity provider, edge, and
// such a load balancer, all of them real and on this machine. Then a user logs in and uses kubectl
// through the load balancer.
//
//	make demo           # runs until Ctrl-C
//	make demo ONCE=1    # exits after the last step
//
// The demo must run as root, because the cluster's node needs root. The first run builds
// Kubernetes, which takes some minutes; the demo reports its progress.
package main
