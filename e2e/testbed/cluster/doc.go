// Package cluster runs real Kubernetes clusters: etcd, kube-apiserver and one node each.
//
//	access.go        how a client reaches a server and who it is there
//	start.go         the order in which a cluster comes up
//	controlplane.go  etcd and the API server; replica.go: API servers that are added, stopped and started again
//	node.go          containerd and the kubelet; cgroup.go, podnetwork.go and image.go: what they need of this machine
//	pod.go           pods; lostpod.go: one that its node does not know
//	manifest.go      what deploy/ gives edge: objects, rights, a token
//	auditlog.go      what an API server, or edge, wrote down
//	remains.go       what outlives a cluster's processes
//
// A node lives in a PID namespace and a mount namespace of its own: when its first process dies, the kernel ends
// everything in it, and its mounts and network namespaces go too. Pods have a bridge without an address, so no packet of
// theirs leaves the machine.
package cluster
