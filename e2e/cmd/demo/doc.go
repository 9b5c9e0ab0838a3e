// Command demo shows edge's main job to a person: an older Kubernetes cluster, an identity provider, edge, and a load
// balancer that carries no SPDY, all of them real and on this machine; then somebody logs in and works with kubectl
// through the load balancer.
//
//	make demo           # stays up until Ctrl-C
//	make demo ONCE=1    # ends by itself
//
// It needs root, for the cluster's node. The first run builds Kubernetes, which takes some minutes and tells so.
package main
