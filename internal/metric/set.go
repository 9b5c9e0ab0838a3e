package metric

import (
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// A Set is the metrics of one package. The zero value is an empty set. Metrics are added before the
// first use of the set as a prometheus.Collector.
type Set struct {
	collectors []prometheus.Collector
	reference  []Description
	before     func() // called at the begin of each collection; nil: no call
}

// Describe implements prometheus.Collector.
func (s *Set) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.collectors {
		c.Describe(ch)
	}
}

// Before sets a function that each collection calls at its begin, for work that several metrics of
// the set need. Two collections may call it at the same time.
func (s *Set) Before(prepare func()) { s.before = prepare }

// Collect implements prometheus.Collector.
func (s *Set) Collect(ch chan<- prometheus.Metric) {
	if s.before != nil {
		s.before()
	}
	for _, c := range s.collectors {
		c.Collect(ch)
	}
}

// Type is the type of a metric, as Prometheus calls it.
type Type string

// Types of metrics.
const (
	TypeCounter   Type = "counter"
	TypeGauge     Type = "gauge"
	TypeHistogram Type = "histogram"
)

// A Description describes a metric to people.
type Description struct {
	Opts

	Type Type
	// Series is the largest number of time series that one edge process has of the metric. A
	// histogram has one for each bucket, one for +Inf, one for the sum and one for the count.
	Series int
}

// Reference describes the metrics of the set, in the order in which they were added.
func (s *Set) Reference() []Description { return s.reference }

func (s *Set) add(c prometheus.Collector, t Type, o Opts) {
	d := Description{Opts: o, Type: t, Series: o.series()}
	if t == TypeHistogram {
		d.Series *= len(o.Buckets) + 3
	}
	s.collectors, s.reference = append(s.collectors, c), append(s.reference, d)
}

// A Counter is a counter with labels.
type Counter struct{ series *table[prometheus.Counter] }

// Counter adds a counter to the set.
func (s *Set) Counter(o Opts) *Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: o.Name, Help: o.Help}, o.labelNames())
	c := &Counter{newTable(o, func(values ...string) *prometheus.Counter { return new(vec.WithLabelValues(values...)) })}
	if o.Zeros {
		for place := range c.series.series {
			c.With(c.series.valuesAt(place)...)
		}
	}
	s.add(vec, TypeCounter, o)
	return c
}

// With returns the counter of these label values, in the order of Opts.Labels.
func (c *Counter) With(values ...string) prometheus.Counter { return *c.series.get(values) }

// A Gauge is a gauge with labels.
type Gauge struct{ series *table[prometheus.Gauge] }

// Gauge adds a gauge to the set.
func (s *Set) Gauge(o Opts) *Gauge {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: o.Name, Help: o.Help}, o.labelNames())
	s.add(vec, TypeGauge, o)
	return &Gauge{newTable(o, func(values ...string) *prometheus.Gauge { return new(vec.WithLabelValues(values...)) })}
}

// With returns the gauge of these label values, in the order of Opts.Labels.
func (g *Gauge) With(values ...string) prometheus.Gauge { return *g.series.get(values) }

// A Histogram is a histogram with labels.
type Histogram struct{ series *table[observed] }

// observed is one series of a histogram.
type observed struct {
	prometheus.Observer
	exemplar atomic.Int64 // when the last exemplar was set, in Unix ns
}

// Settings of the native histograms that a Prometheus which asks for them gets beside the classic
// buckets. The factor is the growth from one bucket to the next. Prometheus' own documentation
// proposes these values.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100       // most native buckets of one series
	nativeReset   = time.Hour // shortest time between two resets of a series with more
)

// Histogram adds a histogram to the set.
func (s *Set) Histogram(o Opts) *Histogram {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: o.Name, Help: o.Help, Buckets: o.Buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets, NativeHistogramMinResetDuration: nativeReset,
	}, o.labelNames())
	s.add(vec, TypeHistogram, o)
	return &Histogram{newTable(o, func(values ...string) *observed { return &observed{Observer: vec.WithLabelValues(values...)} })}
}

// With returns the histogram of these label values, in the order of Opts.Labels.
func (h *Histogram) With(values ...string) prometheus.Observer { return h.series.get(values).Observer }

const (
	// maxExemplar limits the ID in an exemplar, in bytes. OpenMetrics allows 128 characters for an
	// exemplar's names and values together; kube-apiserver shows no more of an Audit-ID, too.
	maxExemplar = 64
	// exemplarInterval is the least time between two exemplars of a series. To make an exemplar costs
	// more than to count a request, and Prometheus reads only the last one of each bucket.
	exemplarInterval = time.Second
)

// Observe adds a value to the histogram of these label values. Once in exemplarInterval, Observe adds
// the request's Audit-ID as an exemplar, so that an operator who looks at a bucket finds one of its
// requests in the log. An Audit-ID that is empty, too long or not valid UTF-8 makes no exemplar.
func (h *Histogram) Observe(value float64, auditID string, values ...string) {
	to := h.series.get(values)
	last, now := to.exemplar.Load(), time.Now().UnixNano()
	if auditID == "" || len(auditID) > maxExemplar || now-last < int64(exemplarInterval) || !utf8.ValidString(auditID) ||
		!to.exemplar.CompareAndSwap(last, now) {
		to.Observer.Observe(value)
		return
	}
	to.Observer.(prometheus.ExemplarObserver).ObserveWithExemplar(value, prometheus.Labels{"audit_id": auditID})
}

// Func adds a metric whose values collect computes when they are asked for, such as an age or a
// length. collect calls report once for each combination of label values.
func (s *Set) Func(t Type, o Opts, collect func(report func(value float64, labels ...string))) {
	valueType := prometheus.GaugeValue
	if t == TypeCounter {
		valueType = prometheus.CounterValue
	}
	desc := prometheus.NewDesc(o.Name, o.Help, o.labelNames(), nil)
	s.add(&computed{desc, valueType, o.Labels, collect}, t, o)
}

// computed is a metric of Set.Func.
type computed struct {
	desc      *prometheus.Desc
	valueType prometheus.ValueType
	labels    []Label
	collect   func(report func(value float64, labels ...string))
}

func (c *computed) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c *computed) Collect(ch chan<- prometheus.Metric) {
	c.collect(func(value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.desc, c.valueType, value, bounded(c.labels, labels)...)
	})
}
