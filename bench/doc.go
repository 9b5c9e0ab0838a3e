// Command bench measures what it costs to carry a stream: edge beside its peers, and edge in each pair of
// dialects, in one run.
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
//	nginx       WebSocket v4   WebSocket v4   Debian's, by nginx.conf: buffers of a TLS record
//	haproxy     WebSocket v4   WebSocket v4   Debian's, by haproxy.cfg: as many threads as GOMAXPROCS
//
// nginx and HAProxy verify upstream's certificate as edge does and agree on the same TLS ciphers. Each is one
// process, so that its clock and its memory are read like a Go proxy's: nginx runs without a master, HAProxy's
// threads are its process's. nginx has one event loop on any number of cores: one more would have sessions of its
// own and do nothing for the others. Where the programs are missing a run installs them, as root on Debian, or
// ends with the command that does; --proxies can leave them out.
//
// The client sends and expects the same messages through all of them. WebSocket v4 cannot half-close, so no
// workload needs it: each is delimited by a count in its command. A workload begins with a byte from
// upstream (ready) and one from the client (go), so that neither the handshake nor the end of a session
// falls into what is measured.
//
//	measure       unit               method
//	down, up      CPU s/GB           one session, writes of a given size, GB = 10^9 bytes
//	keystroke     CPU us, p50, p99   one session, one byte there and back, one at a time
//	idle session  KiB                (RSS with N sessions - RSS after a short warm-up) / N, in a fresh process
//	idle after a keystroke  KiB      the same --settle after each of them has echoed one byte
//	idle growth   %                  how far edge's RSS rises above that in --idle-hold, read every 30 s
//
// N is 8,000, for which 20,000 descriptors of a proxy are enough; 1,000 for the translator. The SPDY server
// behind edge needs some 5 GiB for so many.
//
// CPU is user and system time of the proxy's process, from the kernel's clock of that process. Proxies
// take turns run by run. A figure is the median of its rounds with the least and the greatest beside it;
// a ratio is taken within each round, then its median.
//
//	$ go run ./bench --json bench.json --svg docs/bench
//	measure       unit      proxy       median  spread       x relay  x nginx  x haproxy  x translator  x direct
//	down, 32 KiB  CPU s/GB  edge        ...     ... - ...    ...      ...      ...        ...           -
//	...
//
// The charts are one file for each first word of a measure: down.svg, idle.svg; pairs-down.svg has the ratios of
// pairs. A bar is a median, the whisker on it goes from the least to the greatest sample.
//
// # Before and after
//
// With --before another binary of edge takes its turns after edge's: as the proxy "before", and in each pair. The table of
// bars has its figures beside edge's, and "x before" is edge's relative to it within each round.
//
//	$ git worktree add ../before HEAD~1 && (cd ../before && go build -o /tmp/before ./cmd/edge)
//	$ go run ./bench --before /tmp/before --only pairs,streams
//
// # Pairs
//
// A pair is a subresource, the client's dialect and what edge speaks upstream: exec/v4/spdy. Each is
// measured by down and up in writes of 32 KiB and by keystrokes, which in a port-forward are one byte
// each way on one connection; GB counts the workload's bytes, whatever they become on the wire.
//
//	pair                          edge's upstream        the relay carries      between the client and
//	exec/<WebSocket's>/spdy       SPDY v4                WebSocket v4           cri-streaming
//	exec/<WebSocket's>/v5         WebSocket v5           WebSocket v5           the API server's translator
//	exec/spdy/spdy, /v5           SPDY v4, WebSocket v5  SPDY v4                cri-streaming
//	forward/v4/spdy, /tunnel      SPDY, the tunnel       WebSocket v4           cri-streaming
//	forward/spdy/spdy, /tunnel    SPDY, the tunnel       SPDY                   cri-streaming
//	forward/tunnel/spdy, /tunnel  SPDY, the tunnel       the tunnel             the API server's tunneling handler
//
// Beside forward/tunnel/spdy the translator, which has the tunneling handler too, does the same from the same client.
//
// "x relay" is relative to the relay's line above the pair: the same workload of the same client process,
// opaque, in the dialect nearest to the client's that needs no translation by a proxy. That is the least
// that a proxy can spend on this traffic, and both have their turns within the same seconds of each round.
// It is fair to edge where the relay meets what edge meets: as many frames in as many pieces (an SPDY
// library writes each in three), and an upstream that answers as late, which is why the relay has the
// translator behind it where edge has. It is hard on edge where the relay's upstream has an easier dialect
// than edge's: from WebSocket to SPDY, edge reads three pieces where the relay reads one. The base64
// dialects are divided by the binary relay: their ratio has the third more bytes in it, and the encoding.
//
// Upstream is told nothing of edge: it answers as an API server of 1.36 where edge asks for its version or
// for a review. It does tell the driver what was spoken to it, and a pair in which edge spoke something
// else than its name says ends the run, as does a pair that edge does not speak.
//
//	$ go run ./bench --only pairs --pairs exec/v5/spdy,forward/tunnel/tunnel
//	pair           measure       unit      median  spread     x relay
//	relay exec/v4  down, 32 KiB  CPU s/GB  ...     ... - ...  -
//	exec/v5/spdy   down, 32 KiB  CPU s/GB  ...     ... - ...  ...
//	...
//
// # The plain path, and starts
//
// Requests go to a proxy over HTTP/2, with the headers of kubectl and a token of one of four users, which edge has seen
// before. Upstream answers over HTTP/2 with the headers of an API server, and a LIST of 20 KiB with no length and in one
// write, as that does. Here the relay is a ReverseProxy with an HTTP/2 upstream; it asks nobody who he is, and neither do
// nginx (HTTP/1.1 upstream) and HAProxy. edge logs each request, as it does by default.
//
//	measure                  unit              method
//	plain, /version, LIST    per CPU s         requests per CPU second of the proxy: 16 under way in 4 connections
//	                         p50, p99, added   one at a time, one proxy after the other; added to the same without a proxy
//	idle watch               KiB               as an idle session, 100 watches in a connection, each after its first event
//	start, 8 at a time       per CPU s         sessions of a command that says one byte and ends, from dial to the end
//	start, first byte        p50, p99, added   one at a time, from before the client's dial, TLS included, to that byte
//
// More is better of what is counted per CPU second. The client without a proxy, direct, speaks exec/v4, which upstream
// need not translate: an API server would take more time for v5.
//
//	$ go run ./bench --only plain,watches --proxies edge,relay
//
// # Bars
//
// The last table holds what was measured against what edge is meant to reach, its bars: bars.go. A ratio to several proxies is
// to that with the lowest median, and is left out unless all of them were measured. A missed bar is said, and changes
// no exit code.
//
// # Held
//
//	$ go build -o bin/ ./bench && bin/bench --hold
//	URL=https://127.0.0.1:40001
//	TOKEN_FILE=/tmp/bench-1/token
//	CA_FILE=/tmp/bench-1/ca.pem
//	EDGE_PID=4711
//
// measures nothing: it starts edge and upstream as a measurement does, for another program to load until SIGINT or
// SIGTERM. Any pod has an exec of cat, which echoes stdin until that ends, an echo on port 7, and in
// GET /api/v1/namespaces/<any>/pods?watch=1 a bookmark every 5 s.
//
// What bench is not: it fails for no figure, it checks no behaviour beyond every byte's arrival, and it loads
// no cluster (that is loadtest's work). Codecs have micro-benchmarks of their own beside them.
// It needs Linux: clocks of other processes and /proc.
package main
