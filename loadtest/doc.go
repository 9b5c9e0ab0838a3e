// Command loadtest opens many streaming sessions at any endpoint that serves the Kubernetes API:
// edge, an API server or another proxy. It depends on no particular server, and checks every byte
// that comes back.
//
//	$ go run ./loadtest --url https://127.0.0.1:6443 --token-file token \
//	    --certificate-authority ca.pem --namespace default --pod web \
//	    --sessions 1000 --busy 50 --mix exec=60,port-forward=20,watch=20 \
//	    --ramp 30s --duration 10m --max-p99 200ms --report-svg load.svg
//
// A session has one of five kinds:
//
//	kind               protocol                           what the session is connected to
//	exec               WebSocket v5.channel.k8s.io        --command (cat), which echoes its input
//	exec-spdy          SPDY/3.1, v4.channel.k8s.io        as exec
//	port-forward       SPDY tunneled in WebSocket         an echo server on --port
//	port-forward-spdy  SPDY/3.1, portforward.k8s.io       as port-forward
//	watch              HTTP/2, shared connections         the pods of --namespace
//
// # What a session does
//
// During the ramp loadtest opens the sessions one after the other, at equal intervals. A new
// session sends 16 bytes and expects them back. After that an idle session sends nothing until the
// hold phase ends. A session that is counted in --busy or --bulk writes at its rate until the hold
// phase ends, with at most --in-flight bytes that have not come back. At the end each session sends
// 16 more bytes and half-closes. An exec must then receive the 16 bytes and a Status of success. A
// port-forward must receive them and the end of the connection, with nothing on its error stream. A
// watch must stay open, and each of its events must be one JSON object.
//
// The bytes that a session sends are a sequence that is computed from the session's number. So
// loadtest detects each byte that is lost, duplicated, changed or from another session when that
// byte arrives.
//
//	         ramp                    hold (--duration)                ending
//	|--------------------|------------------------------------|------------------|
//	 sessions open         idle ones wait, busy ones write      last bytes, Status
//
// # What loadtest measures
//
//	connect      TCP and TLS handshake; not counted for watches, which share connections
//	open         from the request to its 101 response, or to the 200 response of a watch
//	first byte   from the request to the first byte that comes back, or to a watch's first event
//	round trip   from a write until the last byte of that write is back
//	late         how late a busy session writes, compared with its rate
//	end          from the half-close to the end of the session
//
// If "late" is not near 0, the round trips do not include all the time that data waited.
//
// The figures for round trips and "late" cover the hold phase only. The time series in the report
// covers the ramp as well. Percentiles come from HdrHistogram with three significant digits. Each
// failure has a class, for example "dial", "http 403", "close 1011" or "wrong bytes". The report
// has the number of failures of each class, and the first one as an example. loadtest does not open
// a failed session again.
//
// loadtest does not compare the cost of proxies; Command bench does. It ignores the proxy settings
// of the environment (HTTPS_PROXY), and it requires https.
//
//	file                   content
//	main.go                func main
//	command.go             the command, its --help, and a run from flags to exit code
//	options.go             the flags, and their validation
//	thresholds.go          the thresholds, and whether the results meet them
//	endpoint.go            from flags and kubeconfig to a server and a credential
//	mix.go                 how many sessions each kind has
//	plan.go                the kind of each session, and whether it is busy, bulk or idle
//	kind.go                the kinds of sessions
//	request.go             the HTTP request of each kind
//	dial.go                a TLS connection
//	upgrade.go             an upgrade request and its 101 response
//	wire.go                a session's connection, below a codec
//	link.go                the client's end of an echo session
//	exec.go, forward.go    exec and port-forward links: from frames to echoed bytes
//	watch.go               watches and their events
//	session.go             an echo session: what it sent and received
//	pace.go                how much a busy session writes, and how often
//	traffic.go             the writes of a busy session
//	pattern.go             the byte sequences that sessions send
//	run.go, phase.go       a run: ramp, hold, ending
//	watchdog.go            the timeout of sessions
//	errors.go              errors that end a run early or make it fail
//	fault.go               the classes of session failures
//	tally.go               counters and histograms
//	process.go             memory, CPU time and descriptors of a process
//	limits_*.go            the limit of file descriptors of this process
//	sampler.go, sample.go  the time series
//	memorygrowth.go        how far the memory of the watched process has grown
//	progress.go            the progress bar, or progress lines without a terminal
//	report.go, table.go    the report as JSON and as text
//	text.go                formats numbers and quotes
//	svg.go, chart.go       the report as charts
//	beside-edge.sh         make load: a run with the edge and the upstream server of bench
package main
