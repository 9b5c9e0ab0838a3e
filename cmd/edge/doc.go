// Command edge is a proxy in front of a Kubernetes API server: it knows people
// by OpenID Connect or a certificate, impersonates them towards the API server, and carries
// exec, attach, cp and port-forward over WebSocket or SPDY on either side.
//
//	edge serve --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes
//	edge explain-token --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes < token
//	edge connect -- kubectl exec -it web -- sh
//
// This package is flags, wiring and signals. It decides nothing about a request:
//
//	file             what is in it
//	main.go          subcommands and exit codes
//	serve.go         edge serve: one process's life from flags to drain
//	help.go          --help: examples, then flags in groups
//	flags.go         the flags of edge serve, and what is wrong with them
//	identityflags.go those about who is let in, and as whom
//	servingflags.go  those about how clients reach edge
//	assemble.go      flags to the parts that a process consists of
//	tidy.go          garbage collected sooner while sessions are many, memory given back in quiet
//	explain.go       edge explain-token: what authn and impersonate say of a token, for people and as JSON
//	connect.go       edge connect: its flags, and one run from kubeconfig to the command's end
//	contexts.go      the caller's kubeconfig: its contexts, and the one made of them for the command
//	localproxy.go    addresses on the loopback, tokens that open them, and a handler for each context that is used
//	loopbackcert.go  the certificate there
//	command*.go      running a command so that it seems to run without edge
//	upstream.go      kubectl's flags and kubeconfig to the API server's address
//	serving.go       certificates, the listener, its bounds (package serving)
//	shareport_*.go   listeners that share a port
//	identify.go      authn, then impersonate, with the API server's word where edge has none
//	upstreamtoken.go short-lived tokens as edge's own credential
//	limits*.go       how many streams and connections the limit of open files allows
//	logging.go       log/slog, and the libraries' logs into it
//	errors.go        what ends the process or a request, and with which exit code or answer
//
// Exit codes of edge connect are its command's, as a shell has them. Those of
// edge serve: 0 after a signal and an orderly end, 1 when serving failed; of edge
// explain-token: 0 for a token that is accepted, otherwise 1. Of both: 2 for flags
// or files that cannot be used; nothing listens before all were read.
package main
