// Package clients runs real clients of Kubernetes, such as kubectl. Each client uses a kubeconfig
// that the method Kubeconfig has written.
//
//	kubectl.go, helm.go, k9s.go        programs
//	connect.go                         `edge connect`
//	java.go, javascript.go, python.go  programs of e2e/java, e2e/js and e2e/python
//	browser.go                         Chromium and Firefox, driven by e2e/browser
//	command.go                         runs a client, returns its output and exit code
//	terminal.go                        runs a client in a real terminal
//
// The clients have a home folder of their own for each run, and do not use this machine's HTTP
// proxy. The package does not depend on whether the server is edge, a load balancer or an API
// server.
package clients
