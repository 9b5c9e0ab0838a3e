package roundtrip

import "edge/internal/metric"

// Metrics measure the connections to one API server, of several Transports together. With nil
// nothing is measured.
type Metrics struct {
	metric.Set

	connects, retries, silent *metric.Counter
	open                      *metric.Gauge
}

// A Purpose is what a connection is for, as the value of a label.
type Purpose string

// Purposes of a connection.
const (
	ForRequests Purpose = "requests"
	ForStreams  Purpose = "streams" // for one exec, attach, port-forward or other upgrade
)

// How the opening of a connection ended, as values of a label.
const (
	connected       = "success"
	dialFailed      = "dial_failed" // TCP, or the proxy
	handshakeFailed = "handshake_failed"
)

// Why edge sends a request again, as values of a label.
const (
	retryUnreached = "unreached" // no connection could be opened
	retryUntaken   = "untaken"   // the API server has not processed the request
	retryBroken    = "broken"    // the connection of a read-only request broke
)

const (
	protocolHTTP1 = "http/1.1"
	protocolHTTP2 = "h2"
)

// NewMetrics returns the metrics of the Transports whose Config names them.
func NewMetrics() *Metrics {
	m := &Metrics{}
	purpose := metric.Label{Name: "purpose", Values: []string{string(ForRequests), string(ForStreams)}}
	m.connects = m.Counter(metric.Opts{
		Name: "edge_upstream_connects_total", Zeros: true,
		Labels: []metric.Label{purpose, {Name: "result", Values: []string{connected, dialFailed, handshakeFailed}}},
		Help:   "Connections to the API server that edge opened or failed to open.",
	})
	m.open = m.Gauge(metric.Opts{
		Name: "edge_upstream_connections", Labels: []metric.Label{{Name: "protocol", Values: []string{protocolHTTP1, protocolHTTP2}}},
		Help: "Open connections to the API server for requests. Those of streams count in edge_sessions.",
	})
	m.retries = m.Counter(metric.Opts{
		Name: "edge_upstream_retries_total", Zeros: true, Labels: []metric.Label{{Name: "reason", Values: []string{retryUnreached, retryUntaken, retryBroken}}},
		Help: "Requests that edge sent again: no connection (unreached), not processed by the API server (untaken), or read-only and the connection broke (broken).",
	})
	m.silent = m.Counter(metric.Opts{
		Name: "edge_upstream_silent_connections_total", Zeros: true,
		Help: "HTTP/2 connections that edge closed because the API server did not answer a PING.",
	})
	return m
}

// Connected counts a connection that was opened, or that failed in the TCP connection (dialed is
// false) or in the TLS handshake. With a nil Metrics it does nothing.
func (m *Metrics) Connected(purpose Purpose, dialed bool, err error) {
	if m == nil {
		return
	}
	result := connected
	switch {
	case err == nil:
	case dialed:
		result = handshakeFailed
	default:
		result = dialFailed
	}
	m.connects.With(string(purpose), result).Inc()
}

// add counts connections of a protocol that were opened (1) or closed (-1).
func (m *Metrics) add(protocol string, n float64) {
	if m != nil {
		m.open.With(protocol).Add(n)
	}
}

func (m *Metrics) retried(reason string) {
	if m != nil {
		m.retries.With(reason).Inc()
	}
}

func (m *Metrics) lost() {
	if m != nil {
		m.silent.With().Inc()
	}
}
