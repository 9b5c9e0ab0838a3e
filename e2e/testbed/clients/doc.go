// Package clients runs real clients of Kubernetes, each with a kubeconfig that Kubeconfig wrote.
//
//	kubectl.go, helm.go, connect.go    programs; connect.go: `edge connect`
//	java.go, javascript.go, python.go  programs of e2e/java, e2e/js and e2e/python
//	browser.go                         Chromium, driven by e2e/browser
//	command.go                         runs a client, returns its output and exit code
//	terminal.go                        runs a client in a real terminal
//
// Each run has its own home folder for the clients, and no HTTP proxy of the machine is used. The
// package does not depend on whether the server is edge, a load balancer or an API server.
package clients
