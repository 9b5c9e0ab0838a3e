// Command bench measures what it costs to carry an exec session: edge beside its peers, in one run.
//
// Every proxy is a process of its own between the same client and the same upstream, with TLS on both
// sides, so that what the kernel charges to it is its cost and nobody else's:
//
//	driver (load client, OIDC issuer) --TLS--> proxy --TLS--> upstream (k8s.io/cri-streaming)
//
//	proxy       downstream     upstream       how it is made
//	edge        WebSocket v5   SPDY/3.1       the real binary, edge serve
//	translator  WebSocket v5   SPDY/3.1       k8s.io/apiserver StreamTranslatorHandler, wired as kube-apiserver does
//	relay       WebSocket v4   WebSocket v4   net/http/httputil ReverseProxy, which copies bytes and parses none
//
// The client sends and expects the same messages through all three. WebSocket v4 cannot half-close, so no
// workload needs it: each is delimited by a count in its command. A workload begins with a byte from
// upstream (ready) and one from the client (go), so that neither the handshake nor the end of a session
// falls into what is measured.
//
//	measure       unit               method
//	down, up      CPU s/GB           one session, writes of a given size, GB = 10^9 bytes
//	keystroke     CPU us, p50, p99   one session, one byte there and back, one at a time
//	idle session  KiB                (RSS with N sessions - RSS after a short warm-up) / N, in a fresh process
//
// CPU is user and system time of the proxy's process, from the kernel's clock of that process. Proxies
// take turns run by run. A figure is the median of its rounds with the least and the greatest beside it;
// a ratio is taken within each round, then its median.
//
//	$ go run ./bench --json bench.json
//	measure       unit      proxy       median  spread       x relay  x translator
//	down, 32 KiB  CPU s/GB  edge        ...     ... - ...    ...      ...
//	...
//
// What bench is not: it passes no judgement on a time, it checks no behaviour beyond every byte's arrival,
// and it loads no cluster (that is loadtest's work). Codecs have micro-benchmarks of their own beside them.
// It needs Linux: clocks of other processes and /proc.
package main
