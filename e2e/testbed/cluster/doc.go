// Package cluster runs real Kubernetes clusters. Each cluster consists of etcd, kube-apiserver and
// one node.
//
//	featuregates.go  the kinds of clusters: new, and old by its feature gates
//	access.go        address and credential of a client
//	start.go         the steps in which a cluster starts
//	controlplane.go  etcd and API servers
//	replica.go       an API server that a test stops and starts again
//	node.go          containerd and the kubelet
//	cgroup.go        the cgroup that contains the node's pods
//	podnetwork.go    the subnet and the bridge of the pods
//	image.go         the images that the node has
//	pod.go           pods; lostpod.go: a pod that its node does not know
//	manifest.go      applies deploy/, which gives edge its objects, rights and token
//	auditlog.go      reads the audit log of an API server or of edge
//	remains.go       removes what outlives a cluster's processes
//
// A node runs in its own PID namespace and mount namespace. When the first process of the node
// ends, the kernel kills the node's other processes and removes its mounts and network namespaces.
// The bridge of the pods has no address, so packets of the pods do not leave the machine.
package cluster
