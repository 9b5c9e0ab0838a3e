// Package cluster runs real Kubernetes clusters. Each cluster consists of etcd, kube-apiserver and
// one node.
//
//	release.go       the kinds of clusters: new and old releases
//	access.go        address and credential of a client
//	start.go         the steps in which a cluster starts
//	controlplane.go  etcd and API servers
//	replica.go       an API server that a test stops and starts again
//	node.go          containerd and the kubelet
//	cgroup.go        the cgroup that contains the node's pods
//	nodenetwork.go   the network of a node and its pods
//	services.go      controller-manager, scheduler, kube-proxy and CoreDNS, for Deployments and Services
//	image.go         the images that the node has
//	pod.go           pods; lostpod.go: a pod that its node does not know
//	manifest.go      applies deploy/, which gives edge its objects, rights and token
//	auditlog.go      reads the audit log of an API server or of edge
//	remains.go       removes what outlives a cluster's processes
//
// A node runs in its own PID, mount and network namespace. When the first process of the node ends,
// the kernel kills the node's other processes and removes its mounts. The network namespace ends
// when kube-proxy, which runs in it but not in the PID namespace, has ended too. The node has routes
// to its pods, to its end of the cable and to the address of the run (run.ClaimAddress), and no
// default route, so packets of the pods do not leave the machine. Nothing enforces NetworkPolicies.
package cluster
