// Command bench measures the CPU time and memory that edge and other proxies need to carry streams,
// such as exec and port-forward. It also measures edge in each pair, which is a combination of the
// client's dialect and edge's upstream protocol.
//
// Each proxy is a separate process between the same client and the same upstream, with TLS on both
// sides. So the kernel's accounting for that process is the cost of the proxy and of nothing else:
//
//	driver (load client, OIDC issuer) --TLS--> proxy --TLS--> upstream (k8s.io/cri-streaming)
//
//	proxy       downstream     upstream       program
//	edge        WebSocket v5   SPDY/3.1       the real binary, edge serve
//	translator  WebSocket v5   SPDY/3.1       kube-apiserver's StreamTranslatorHandler
//	relay       WebSocket v4   WebSocket v4   net/http/httputil ReverseProxy; copies bytes unread
//	nginx       WebSocket v4   WebSocket v4   Debian's, by nginx.conf: buffers of one TLS record
//	haproxy     WebSocket v4   WebSocket v4   Debian's, by haproxy.cfg: GOMAXPROCS threads
//
// nginx and HAProxy verify upstream's certificate as edge does, and use the same TLS ciphers. Each
// of them is one process, so that bench reads its CPU time and memory like those of a Go proxy.
// nginx runs without a master process; HAProxy's threads belong to its process. nginx has one event
// loop, whatever the number of cores: a second worker process would have its own sessions and would
// not speed up the others. If nginx or HAProxy is missing and bench runs as root on Debian, bench
// installs the program. Otherwise bench prints the command to install the program, and ends. With
// the flag --proxies the user can omit the program from the measurement.
//
// The client sends and expects the same messages through all proxies. WebSocket v4 cannot
// half-close, so no workload needs a half-close: a transfer has its number of bytes as argument.
// Before the measured part of a session, upstream sends one byte (ready) and the client sends one
// byte (go). So the figures include neither the handshake nor the end of a session.
//
//	measure       unit               method
//	down, up      CPU s/GB           one session, writes of a given size, GB = 10^9 bytes
//	keystroke     CPU us, p50, p99   one session, round trips of one byte, one at a time
//	idle session  KiB                (RSS with N sessions - RSS after warm-up) / N, new process
//	idle after a keystroke  KiB      as idle session, after 20 keystrokes in each and --settle
//	idle growth   %                  how far edge's RSS rises after that in --idle-hold
//
// N is 8,000, for which a proxy needs less than 20,000 descriptors. For the translator N is 1,000.
// The SPDY server behind edge needs about 5 GiB for 8,000 sessions.
//
// CPU is the user and system time of the proxy's process, from the kernel's CPU clock of that
// process. In each round the proxies take turns. A figure is the median of its rounds, together
// with the smallest and the largest value. A ratio is computed within each round; the report has
// the median of these ratios.
//
//	$ go run ./bench --json bench.json --svg docs/bench
//	measure       unit      proxy  median  spread     x relay  x nginx  x haproxy  x translator  ...
//	down, 32 KiB  CPU s/GB  edge   ...     ... - ...  ...      ...      ...        ...
//	...
//
// bench writes one chart file for each first word of a measure's name: down.svg, idle.svg. The file
// pairs-down.svg has the ratios of the pairs. A bar is a median, and its whisker goes from the
// smallest to the largest sample.
//
// # Before and after
//
// With --before a second binary of edge takes turns with the first one: as the proxy "before", and
// in each pair. The table of bars then has columns with the figures of the second binary. The
// column "x before" is edge's figure divided by that of the second binary, within each round.
//
//	$ git worktree add ../before HEAD~1 && (cd ../before && go build -o /tmp/before ./cmd/edge)
//	$ go run ./bench --before /tmp/before --only pairs,streams
//
// # Pairs
//
// A pair is a subresource, the client's dialect and edge's upstream protocol: exec/v4/spdy. Each
// pair is measured by down and up with writes of 32 KiB, and by keystrokes. In a port-forward a
// keystroke is one byte in each direction on one connection. GB counts the bytes of the workload,
// whatever their encoding on the wire.
//
//	pair                          edge's upstream        relay's dialect  relay's upstream
//	exec/<a WebSocket>/spdy       SPDY v4                WebSocket v4     cri-streaming
//	exec/<a WebSocket>/v5         WebSocket v5           WebSocket v5     API server's translator
//	exec/spdy/spdy, /v5           SPDY v4, WebSocket v5  SPDY v4          cri-streaming
//	forward/v4/spdy, /tunnel      SPDY, the tunnel       WebSocket v4     cri-streaming
//	forward/spdy/spdy, /tunnel    SPDY, the tunnel       SPDY             cri-streaming
//	forward/tunnel/spdy, /tunnel  SPDY, the tunnel       the tunnel       API server's tunneler
//
// The translator (the code of kube-apiserver that translates streams) also has a tunneling handler.
// So bench measures the translator in addition to edge in the pair forward/tunnel/spdy, with the
// same client.
//
// The column "x relay" is the pair's cost divided by the cost of the relay's line above the pair.
// The relay copies the same workload of the same client process without parsing it. The relay's
// client and upstream use the dialect that is nearest to that of the pair's client and that needs
// no translation by a proxy. The relay's cost is the least that a proxy can spend on this traffic.
// The pair and its relay have their turns within the same seconds of each round.
//
// The comparison is fair if the relay receives as many frames as edge, in as many pieces (an SPDY
// library writes each frame in three pieces), and if the relay's upstream answers as late as
// edge's. That is why in the pairs exec/<a WebSocket>/v5, where edge's upstream is the API server's
// translator, the relay's upstream is the translator too. The comparison is to the disadvantage of
// edge if the relay's upstream has a simpler dialect: for a WebSocket client and an SPDY upstream,
// edge reads three pieces where the relay reads one. The base64 dialects have no relay of their
// own: bench divides their cost by that of a relay that carries binary messages. So their ratio
// includes the cost of one third more bytes and of the encoding.
//
// Upstream has no code for edge: it answers edge's requests for its version and for access reviews
// like an API server of version 1.36. For the driver it records in which protocol the last stream
// was requested. If edge uses another upstream protocol than the pair's name states, or does not
// support it, the run ends.
//
//	$ go run ./bench --only pairs --pairs exec/v5/spdy,forward/tunnel/tunnel
//	pair           measure       unit      median  spread     x relay
//	relay exec/v4  down, 32 KiB  CPU s/GB  ...     ... - ...  -
//	exec/v5/spdy   down, 32 KiB  CPU s/GB  ...     ... - ...  ...
//	...
//
// # The plain path, and starts
//
// The plain path is requests without an upgrade. They go to a proxy over HTTP/2, with the headers
// of kubectl and the tokens of four users, which edge has verified before the measurement. Upstream
// answers over HTTP/2 with the headers of an API server. Like an API server it sends a LIST of 20
// KiB in one write and without Content-Length. For these measures the relay is a ReverseProxy with
// an HTTP/2 upstream. The relay, nginx (HTTP/1.1 upstream) and HAProxy do not authenticate clients.
// edge writes its access log, as it does by default.
//
//	measure                unit             method
//	plain, /version, LIST  per CPU s        requests per CPU second of the proxy, 16 at a time on
//	                                        4 connections
//	                       p50, p99, added  one request at a time, the proxies in turns; added:
//	                                        minus the same without a proxy
//	idle watch             KiB              per watch, measured as for idle sessions: 100 watches on
//	                                        a connection, each after its first event
//	start, 8 at a time     per CPU s        sessions of a command that writes one byte and ends,
//	                                        from the dial to the end
//	start, first byte      p50, p99, added  one session at a time, from the dial, with TLS, to the
//	                                        first byte
//
// For figures per CPU second, more is better. The line "direct" is a client without a proxy. It
// uses exec/v4, which upstream does not have to translate. With exec/v5 upstream would translate
// and answer later, so "added" would be smaller.
//
//	$ go run ./bench --only plain,watches --proxies edge,relay
//
// # Bars
//
// A bar is a limit that one of edge's figures should meet. bars.go contains all bars, and the last
// table compares the measured figures with them. If a bar is a ratio to several proxies, edge's
// figure is divided by that of the proxy with the lowest median. Such a bar is omitted unless all
// these proxies were measured. A missed bar is marked in the table, and does not change the exit
// code.
//
// # Hold
//
//	$ go build -o bin/ ./bench && bin/bench --hold
//	URL=https://127.0.0.1:40001
//	TOKEN_FILE=/tmp/bench-1/token
//	CA_FILE=/tmp/bench-1/ca.pem
//	EDGE_PID=4711
//
// With --hold bench measures nothing. It starts edge and upstream as for a measurement, so that
// another program can send load to them, and waits for SIGINT or SIGTERM. Any pod supports exec of
// cat, which echoes stdin until stdin ends, and an echo server on port 7. GET
// /api/v1/namespaces/<any>/pods?watch=1 sends a bookmark every 5 s.
//
// # What bench does not do
//
// bench does not fail because of a figure. It checks no behaviour except that every byte arrives.
// It does not load a cluster; loadtest does. The codecs have their own micro-benchmarks in their
// packages. bench requires Linux, because it reads the CPU clocks of other processes and /proc.
package main
