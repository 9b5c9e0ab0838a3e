// Command loadtest drives many streaming sessions against any endpoint that speaks the Kubernetes API: edge, an API
// server, another proxy. It knows nothing of what it drives, and checks every byte that comes back.
//
//	$ go run ./loadtest --url https://127.0.0.1:6443 --token-file token --certificate-authority ca.pem \
//	    --namespace default --pod web --sessions 1000 --busy 50 --mix exec=60,port-forward=20,watch=20 \
//	    --ramp 30s --duration 10m --max-p99 200ms --report-svg load.svg
//
// A session is one of five kinds:
//
//	kind               on the wire                        what is at its end
//	exec               WebSocket v5.channel.k8s.io        --command, cat: its output is its input
//	exec-spdy          SPDY/3.1, v4.channel.k8s.io        the same
//	port-forward       SPDY tunnelled in WebSocket        an echo server on --port
//	port-forward-spdy  SPDY/3.1, portforward.k8s.io       the same
//	watch              HTTP/2, many on one connection     pods of --namespace
//
// # What a session does
//
// It is opened at its place in the ramp, says 16 bytes and has them back. Then it is idle, or, if it is one of --busy or
// --bulk, writes at its rate until the hold phase ends, with at most --in-flight bytes unanswered. At the end each says a
// last 16 bytes and half-closes; an exec must have them back and then a Status of success, a port-forward the
// end of its connection without a word on its error stream. A watch must hold, and each event be one JSON object.
//
// What is said is a sequence that the session's number determines, so a byte that is lost, doubled, changed, or
// another session's is seen where it arrives.
//
//	         ramp                    hold (--duration)                ending
//	|--------------------|------------------------------------|------------------|
//	 sessions open         idle ones wait, busy ones write      last words, Status
//
// # What it tells
//
//	connect      TCP and TLS, until the handshake is done (a watch's is shared and not counted)
//	open         from the request to its 101, or a watch's 200
//	first byte   from the request to the first byte that comes back, or to the first event
//	round trip   from a write to its last byte back
//	late         how far behind its rate a busy session wrote: near 0, or the round trips hide waiting
//	end          from the half-close to the end
//
// Round trips, and what is late, are those of the hold phase; the series in the report has those of the ramp as well.
// Percentiles are of HdrHistogram, with three digits. A failure has a class, such as "dial", "http 403", "close 1011" or
// "wrong bytes"; each class is counted, with its first example. A session that failed is not opened again.
//
// What it is not: a benchmark of a proxy's cost beside its peers, which is bench. It follows no HTTP proxy of the
// environment, and needs https.
//
//	file                   what is in it
//	main.go                the process
//	command.go             --help, and a run from flags to exit code
//	options.go             flags, and what is wrong with them
//	thresholds.go          the flags that a run is judged by
//	endpoint.go            flags and kubeconfig to a server and a credential
//	mix.go                 how many sessions are of which kind
//	plan.go                what each session will be, busy or idle
//	kind.go                the kinds of sessions
//	request.go             what a kind asks for
//	dial.go                a connection, with TLS
//	upgrade.go             a request on it, its 101
//	wire.go                a connection below a codec
//	link.go                the client's end of an echo
//	exec.go, forward.go    what the codecs' frames mean to an echo
//	watch.go               events
//	session.go             an echo: what was said, what came back
//	pace.go                how much a busy session writes, and how often
//	traffic.go             its writes
//	pattern.go             the bytes
//	run.go, phase.go       ramp, hold, ending
//	watchdog.go            no session waits for ever
//	errors.go              what ends a run before its time, or makes it a failure
//	fault.go               classes of failures of a session
//	tally.go               counts and histograms
//	process.go             memory, CPU and descriptors of a process
//	limits_*.go            how many descriptors this process may have
//	sampler.go, sample.go  what was seen over time
//	progress.go            the bar, or a line now and then
//	report.go, table.go    the report as JSON, and as text
//	verdict.go             which thresholds were missed
//	text.go                numbers and quotes for people
//	svg.go, chart.go       the report as a picture
//	beside-edge.sh         make load: a run beside bench's edge and upstream
package main
