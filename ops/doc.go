// Package ops serves the operator's port: plain HTTP, on a listener of its own, separate from
// users' requests.
//
//	GET /ready             200 "ok", then one line for each problem that an operator should look at;
//	                       or 503 and the reason, while edge must receive no traffic
//	GET /live              200 "ok" while the process serves
//	GET /metrics           metrics, as text for Prometheus, in OpenMetrics or in protobuf
//	GET /debug/pprof/...   profiles of net/http/pprof
//
// The last two exist only if Options has them. Any other path is 404. The packages that are measured
// hand their metrics over to cmd/edge; ops imports none of them for it.
//
// An [APIServer] checks whether the API server answers a request of edge's own. edge is ready
// only while it does. The API server's own health (its /readyz) does not count.
//
//	file               content
//	probes.go          the server and its probes /ready and /live
//	metrics.go         /metrics
//	profiles.go        /debug/pprof/, and what bounds it
//	apiservercheck.go  the check of the API server
package ops
