// Command edge is a proxy in front of a Kubernetes API server. It authenticates users by OpenID
// Connect or by a client certificate, impersonates them towards the API server, and carries exec,
// attach, cp and port-forward over WebSocket or SPDY on either side.
//
//	edge serve --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes
//	edge explain-token --oidc-issuer-url=https://login.example.com --oidc-client-id=kubernetes < token
//	edge connect -- kubectl exec -it web -- sh
//
// This package parses flags, connects the other packages and handles signals. It decides nothing
// about a request:
//
//	file                  content
//	main.go               subcommands and exit codes
//	serve.go              edge serve: one process from flags to the end
//	drain.go              the delay after a signal, and how long open streams and requests may take
//	help.go               --help: examples, then flags in groups
//	flags.go              the flags of edge serve, and their validation
//	identityflags.go      flags for authentication and identity
//	servingflags.go       flags for how clients connect to edge
//	assemble.go           creates the parts of edge serve from flags
//	readiness.go          when /ready answers 200
//	metrics.go            the metrics of all components, and of the process
//	tracing.go            flags for tracing, and the exporter of spans
//	memory.go             collects garbage earlier with many sessions, returns memory when idle
//	explain.go            edge explain-token: prints what authn and impersonate do with a token
//	connect.go            edge connect: its flags, and one run from kubeconfig to the command's end
//	connectkubeconfig.go  the caller's kubeconfig, and the kubeconfig for the command
//	localproxy.go         loopback listeners with tokens, and a handler for each context that is used
//	loopbackcert.go       the certificate of these listeners
//	command*.go           runs a command with its terminal, as a shell would
//	signals_*.go          the signals that edge passes on to the command
//	upstream.go           flags for the API server, as kubectl has them
//	serving.go            certificates, the listener and its limits (package serving)
//	shareport_*.go        listeners that share a port
//	identify.go           authn, then impersonate; asks the API server where edge cannot decide
//	upstreamtoken.go      short-lived tokens as edge's own credential
//	limits*.go            how many streams and connections the limit of open files allows
//	logging.go            log/slog, which also receives the logs of libraries
//	errors.go             errors with an exit code or an answer to the client
//
// edge connect exits with the exit code of its command, as a shell reports it. edge serve exits
// with 0 after a signal and an orderly end, and with 1 if serving failed. edge explain-token exits
// with 0 if the token is accepted, otherwise with 1. All exit with 2 for flags or files that cannot
// be used; edge listens only after it has read all of them.
package main
