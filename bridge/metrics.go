package bridge

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"edge/bridge/internal/roundtrip"
	"edge/bridge/internal/session"
	"edge/bridge/internal/status"
	"edge/impersonate"
	"edge/internal/metric"
)

// Metrics measure the requests and streams of one Handler, see Config.Metrics. It is an Observer.
type Metrics struct {
	requests    metric.Set
	sessions    *session.Metrics
	connections *roundtrip.Metrics

	duration, firstByte *metric.Histogram
	inFlight            *metric.Gauge
	refusals            *metric.Counter
	in, out             prometheus.Counter // the two series of edge_request_transferred_bytes_total
}

var (
	codeLabel   = metric.Label{Name: "code", Values: append(knownCodes(), metric.Other)}
	reasonLabel = metric.Label{Name: "reason", Values: reasonNames()}
)

// codeNone is the code of a request whose answer did not begin, because the client disconnected.
const codeNone = 0

// maxCode is the largest status code of HTTP that has a meaning.
const maxCode = 599

// knownCodes returns the status codes that HTTP defines, and codeNone.
func knownCodes() []string {
	codes := []string{strconv.Itoa(codeNone)}
	for code := http.StatusContinue; code <= maxCode; code++ {
		if http.StatusText(code) != "" {
			codes = append(codes, strconv.Itoa(code))
		}
	}
	return codes
}

func reasonNames() []string {
	names := make([]string, len(status.Reasons))
	for i, r := range status.Reasons {
		names[i] = string(r)
	}
	return names
}

// requestBuckets are those of kube-apiserver's apiserver_request_duration_seconds, but fewer.
var requestBuckets = []float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 5, 10, 30, 60}

// NewMetrics returns the metrics of one Handler.
func NewMetrics() *Metrics {
	m := &Metrics{sessions: session.NewMetrics(), connections: roundtrip.NewMetrics()}
	m.duration = m.requests.Histogram(metric.Opts{
		Name: "edge_request_duration_seconds", Labels: []metric.Label{requestVerbLabel, codeLabel}, Buckets: requestBuckets,
		Help: "Time from a request's arrival to its end. A watch, or a log that is followed, counts with its whole time, and has the verb WATCH, as at kube-apiserver. A stream (code 101) counts when it begins, see edge_session_duration_seconds. code 0: the client disconnected before the answer.",
	})
	m.firstByte = m.requests.Histogram(metric.Opts{
		Name: "edge_request_time_to_first_byte_seconds", Labels: []metric.Label{requestVerbLabel}, Buckets: requestBuckets,
		Help: "Time from a request's arrival to the header of its answer.",
	})
	m.inFlight = m.requests.Gauge(metric.Opts{
		Name: "edge_requests_in_flight", Labels: []metric.Label{requestVerbLabel},
		Help: "Requests that have arrived and not ended. A stream that has begun counts in edge_sessions instead.",
	})
	m.refusals = m.requests.Counter(metric.Opts{
		Name: "edge_request_refusals_total", Zeros: true, Labels: []metric.Label{reasonLabel},
		Help: "Requests that edge itself answered, and not the API server.",
	})
	bytes := m.requests.Counter(metric.Opts{
		Name: "edge_request_transferred_bytes_total", Zeros: true, Labels: []metric.Label{metric.Direction},
		Help: "Bytes of the bodies from (in) and to (out) clients, of requests that have ended.",
	})
	m.in, m.out = bytes.With(metric.In), bytes.With(metric.Out)
	return m
}

// Sets returns the metrics for a registry.
func (m *Metrics) Sets() []*metric.Set {
	return []*metric.Set{&m.requests, &m.sessions.Set, &m.connections.Set}
}

// ofSessions and ofConnections return the metrics of these, or nil if m is nil.
func (m *Metrics) ofSessions() *session.Metrics {
	if m == nil {
		return nil
	}
	return m.sessions
}

func (m *Metrics) ofConnections() *roundtrip.Metrics {
	if m == nil {
		return nil
	}
	return m.connections
}

// Begin implements Observer.
func (m *Metrics) Begin(r *http.Request) Observation {
	o := &measuredRequest{m: m, verb: metricVerb(r), auditID: r.Header.Get(status.HeaderAuditID), began: time.Now()}
	m.inFlight.With(o.verb).Inc()
	return o
}

// measuredRequest is the Observation of Metrics.
type measuredRequest struct {
	m       *Metrics
	verb    string
	auditID string
	began   time.Time
	// isStream is true once the request has become a stream.
	isStream bool
}

func (*measuredRequest) Identified(*http.Request, impersonate.Identity, error) error { return nil }
func (*measuredRequest) Streaming(Stream) error                                      { return nil }

func (o *measuredRequest) Started(code int) {
	o.m.firstByte.Observe(time.Since(o.began).Seconds(), o.auditID, o.verb)
	if code == http.StatusSwitchingProtocols {
		o.isStream = true
		o.done(code, time.Since(o.began))
	}
}

func (o *measuredRequest) Ended(end End) {
	if o.isStream {
		return
	}
	o.done(end.Code, end.Duration)
	if end.Refusal != "" {
		o.m.refusals.With(string(end.Refusal)).Inc()
	}
	o.m.in.Add(float64(end.In))
	o.m.out.Add(float64(end.Out))
}

// done counts a request that ended or that has become a stream.
func (o *measuredRequest) done(code int, took time.Duration) {
	o.m.inFlight.With(o.verb).Dec()
	o.m.duration.Observe(took.Seconds(), o.auditID, o.verb, strconv.Itoa(code))
}
