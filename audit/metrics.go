package audit

import (
	"sync"
	"sync/atomic"

	dto "github.com/prometheus/client_model/go"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/component-base/metrics/legacyregistry"

	"edge/internal/metric"
)

// Metrics measure the audit events of one process. Kubernetes' code, which makes and delivers the
// events, counts them in a registry of its own. Metrics reports its counters under edge's names.
type Metrics struct {
	metric.Set

	queue   queueCount
	library library
}

// The names of the parts of Kubernetes' audit code that may lose events, as values of a label.
// The buffers of both backends have one name.
const (
	pluginBuffered = "buffered" // the buffer of mode batch was full
	pluginTruncate = "truncate" // the event was too large
	pluginWebhook  = "webhook"  // the webhook did not accept the event
	pluginLog      = "log"      // the file could not be written
)

var plugins = []string{pluginBuffered, pluginTruncate, pluginWebhook, pluginLog}

// Counters of k8s.io/apiserver/pkg/audit.
const (
	libraryEvents   = "apiserver_audit_event_total"
	libraryErrors   = "apiserver_audit_error_total"
	libraryRejected = "apiserver_audit_requests_rejected_total"
)

// NewMetrics returns the metrics of the audit events.
func NewMetrics() *Metrics {
	m := &Metrics{}
	m.Before(m.library.read)
	m.Func(metric.TypeCounter, metric.Opts{
		Name: "edge_audit_events_total",
		Help: "Audit events that edge has made: one for each stage of a request that the policy records.",
	}, func(report func(float64, ...string)) { report(m.library.sum(libraryEvents, "")) })
	m.Func(metric.TypeCounter, metric.Opts{
		Name: "edge_audit_events_lost_total", Labels: []metric.Label{{Name: "plugin", Values: plugins}},
		Help: "Audit events that no backend has stored: the buffer was full (buffered), the event too large (truncate), the webhook (webhook) or the file (log) failed.",
	}, func(report func(float64, ...string)) {
		for _, plugin := range plugins {
			report(m.library.sum(libraryErrors, plugin), plugin)
		}
	})
	m.Func(metric.TypeCounter, metric.Opts{
		Name: "edge_audit_requests_rejected_total",
		Help: "Requests that edge refused because their audit event could not be stored (mode blocking-strict).",
	}, func(report func(float64, ...string)) { report(m.library.sum(libraryRejected, "")) })
	m.Func(metric.TypeGauge, metric.Opts{
		Name: "edge_audit_queue_events",
		Help: "Audit events in the buffers of mode batch, or being sent from them, of the file and the webhook together.",
	}, func(report func(float64, ...string)) {
		// Events that did not fit into a buffer are in Kubernetes' counter only.
		report(m.queue.length(m.library.sum(libraryErrors, pluginBuffered)))
	})
	return m
}

// queued returns what counts the events that wait in buffers, or nil if m is nil.
func (m *Metrics) queued() *queueCount {
	if m == nil {
		return nil
	}
	return &m.queue
}

// library has the values of Kubernetes' counters of audit events.
type library struct {
	mu       sync.Mutex
	families map[string]*dto.MetricFamily // by name, as of the last call of read
}

// read reads the counters. Kubernetes' registry can only be read as a whole, with hundreds of other
// metrics, so read is called once for each collection.
func (l *library) read() {
	l.mu.Lock() // also while it gathers: an older value must not replace a newer one, as a counter never decreases
	defer l.mu.Unlock()
	all, _ := legacyregistry.DefaultGatherer.Gather() // an error is about other metrics
	l.families = map[string]*dto.MetricFamily{}
	for _, f := range all {
		switch f.GetName() {
		case libraryEvents, libraryErrors, libraryRejected:
			l.families[f.GetName()] = f
		}
	}
}

// sum returns the value of a counter: the sum of its series whose label plugin has the value of
// the parameter plugin, or of all if that is empty.
func (l *library) sum(name, plugin string) (sum float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.families[name].GetMetric() {
		matches := plugin == ""
		for _, l := range m.GetLabel() {
			matches = matches || l.GetName() == "plugin" && l.GetValue() == plugin
		}
		if matches {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// queueCount counts the events that wait in buffers.
type queueCount struct{ offered, sent atomic.Int64 }

// length returns the number of events in the buffers, of which refused did not fit.
func (q *queueCount) length(refused float64) float64 {
	return max(0, float64(q.offered.Load()-q.sent.Load())-refused)
}

// entrance is a backend that counts the events offered to a buffer. The buffer of k8s.io/apiserver
// reports a full buffer to nobody but its counter.
type entrance struct {
	audit.Backend
	q *queueCount
}

func (e entrance) ProcessEvents(events ...*auditinternal.Event) bool {
	e.q.offered.Add(int64(len(events)))
	return e.Backend.ProcessEvents(events...)
}

// exit is a backend that counts the events that have left a buffer.
type exit struct {
	audit.Backend
	q *queueCount
}

func (e exit) ProcessEvents(events ...*auditinternal.Event) bool {
	defer e.q.sent.Add(int64(len(events)))
	return e.Backend.ProcessEvents(events...)
}
