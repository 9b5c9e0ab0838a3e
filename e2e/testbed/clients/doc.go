// Package clients runs real clients of Kubernetes, each with a kubeconfig that Kubeconfig wrote.
//
//	kubectl.go, helm.go, connect.go        programs, connect.go: `edge connect`
//	java.go, javascript.go, python.go      programs of e2e/java, e2e/js and e2e/python over a language's own client
//	browser.go                             Chromium, which does what e2e/browser tells it
//	command.go                             a client that runs to its end: output and exit code
//	terminal.go                            a client in a real terminal, as a person has it
//
// A client has a home of its own, and no proxy of the machine's between it and the server. It does not know what it
// talks to: edge, a load balancer or an API server.
package clients
