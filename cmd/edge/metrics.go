package main

import (
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"edge/audit"
	"edge/authn"
	"edge/bridge"
	"edge/internal/metric"
	"edge/ops"
	"edge/review"
)

// measures are the metrics of all components of edge serve. With nil, each method returns nil, and
// nothing is measured.
type measures struct {
	requests       *bridge.Metrics
	authentication *authn.Metrics
	reviews        *review.Metrics
	events         *audit.Metrics
	process        metric.Set

	parts atomic.Pointer[parts] // whose state is reported when Prometheus asks; nil: none yet
}

func newMeasures() *measures {
	m := &measures{requests: bridge.NewMetrics(), authentication: authn.NewMetrics(), reviews: review.NewMetrics(), events: audit.NewMetrics()}
	version, goVersion := buildVersion(), runtime.Version()
	m.process.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_build_info", Labels: []metric.Label{{Name: "version", Values: []string{version}}, {Name: "goversion", Values: []string{goVersion}}},
		Help: "Always 1; its labels are edge's version and the Go version that built it.",
	}, func(report func(float64, ...string)) { report(1, version, goVersion) })
	m.process.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_ready",
		Help: "1 while /ready answers 200, 0 otherwise.",
	}, m.gauge(func(p *parts) bool { return p.ready() == nil }))
	m.process.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_api_server_up",
		Help: "1 while the API server answers edge's checks, 0 after several failed.",
	}, m.gauge(func(p *parts) bool { return p.apiServer.Ready() == nil }))
	m.process.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_upstream_credential_accepted",
		Help: "1 while the API server accepts edge's own credential, 0 otherwise.",
	}, m.gauge(func(p *parts) bool { return p.credential.Ready() == nil }))
	m.process.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_certificate_expiration_timestamp_seconds", Labels: []metric.Label{certificateLabel},
		Help: "When edge's serving certificate expires, in Unix time. For several of --tls-sni-cert-key: the first that expires.",
	}, func(report func(float64, ...string)) {
		if p := m.parts.Load(); p != nil {
			p.certs.reportExpiry(report)
		}
	})
	m.process.Func(metric.TypeCounter, metric.Opts{
		Name: "edge_certificate_reloads_total", Labels: []metric.Label{certificateLabel},
		Help: "Changes of the serving certificate's files that edge has adopted.",
	}, func(report func(float64, ...string)) {
		if p := m.parts.Load(); p != nil {
			p.certs.reportReloads(report)
		}
	})
	return m
}

// gauge returns a function that reports 1 if is returns true for edge's parts, and 0 otherwise.
func (m *measures) gauge(is func(*parts) bool) func(func(float64, ...string)) {
	return func(report func(float64, ...string)) {
		switch p := m.parts.Load(); {
		case p == nil:
		case is(p):
			report(1)
		default:
			report(0)
		}
	}
}

// watch sets the parts whose state the metrics report. With a nil measures it does nothing.
func (m *measures) watch(p *parts) {
	if m != nil {
		m.parts.Store(p)
	}
}

func (m *measures) bridge() *bridge.Metrics {
	if m == nil {
		return nil
	}
	return m.requests
}

func (m *measures) authn() *authn.Metrics {
	if m == nil {
		return nil
	}
	return m.authentication
}

func (m *measures) review() *review.Metrics {
	if m == nil {
		return nil
	}
	return m.reviews
}

func (m *measures) audit() *audit.Metrics {
	if m == nil {
		return nil
	}
	return m.events
}

// sets returns the metrics of all components.
func (m *measures) sets() []*metric.Set {
	return append(m.requests.Sets(), &m.authentication.Set, &m.reviews.Set, &m.events.Set, &m.process)
}

// handler returns the handler of /metrics, or nil.
func (m *measures) handler(log *slog.Logger) (http.Handler, error) {
	if m == nil {
		return nil, nil
	}
	var all []prometheus.Collector
	for _, s := range m.sets() {
		all = append(all, s)
	}
	return ops.Metrics(log, all...)
}
