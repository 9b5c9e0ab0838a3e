package metric_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"edge/internal/metric"
)

func newSet() (*metric.Set, *metric.Counter, *metric.Gauge, *metric.Histogram) {
	var s metric.Set
	codes := metric.Label{Name: "code", Values: []string{"200", "404", metric.Other}}
	sides := metric.Label{Name: "side", Values: []string{"client", "upstream"}}
	c := s.Counter(metric.Opts{Name: "edge_a_total", Help: "A.", Labels: []metric.Label{codes, sides}})
	g := s.Gauge(metric.Opts{Name: "edge_open", Help: "B."})
	h := s.Histogram(metric.Opts{Name: "edge_c_seconds", Help: "C.", Labels: []metric.Label{sides}, Buckets: []float64{1, 2}})
	return &s, c, g, h
}

func TestExposition(t *testing.T) {
	s, c, g, h := newSet()
	s.Func(metric.TypeGauge, metric.Opts{Name: "edge_oldest", Help: "D."}, func(report func(float64, ...string)) { report(7) })
	c.With("200", "client").Inc()
	c.With("404", "client").Add(2)
	g.With().Set(3)
	h.With("upstream").Observe(1.5)
	const want = `
# HELP edge_a_total A.
# TYPE edge_a_total counter
edge_a_total{code="200",side="client"} 1
edge_a_total{code="404",side="client"} 2
# HELP edge_open B.
# TYPE edge_open gauge
edge_open 3
# HELP edge_c_seconds C.
# TYPE edge_c_seconds histogram
edge_c_seconds_bucket{side="upstream",le="1"} 0
edge_c_seconds_bucket{side="upstream",le="2"} 1
edge_c_seconds_bucket{side="upstream",le="+Inf"} 1
edge_c_seconds_sum{side="upstream"} 1.5
edge_c_seconds_count{side="upstream"} 1
# HELP edge_oldest D.
# TYPE edge_oldest gauge
edge_oldest 7
`
	if err := testutil.CollectAndCompare(s, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(s); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// TestZeros checks that a counter with Zeros has every combination of its labels' values, before
// anything has happened.
func TestZeros(t *testing.T) {
	var s metric.Set
	kinds := metric.Label{Name: "kind", Values: []string{"access", "token"}}
	results := metric.Label{Name: "result", Values: []string{"allowed", "denied", "failed"}}
	s.Counter(metric.Opts{Name: "edge_a_total", Help: "A.", Labels: []metric.Label{kinds, results}, Zeros: true}).With("token", "denied").Inc()
	s.Counter(metric.Opts{Name: "edge_scrapes_total", Help: "B.", Zeros: true})
	const want = `
# HELP edge_a_total A.
# TYPE edge_a_total counter
edge_a_total{kind="access",result="allowed"} 0
edge_a_total{kind="access",result="denied"} 0
edge_a_total{kind="access",result="failed"} 0
edge_a_total{kind="token",result="allowed"} 0
edge_a_total{kind="token",result="denied"} 1
edge_a_total{kind="token",result="failed"} 0
# HELP edge_scrapes_total B.
# TYPE edge_scrapes_total counter
edge_scrapes_total 0
`
	if err := testutil.CollectAndCompare(&s, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestSeriesAreBounded checks that values that are not declared make no series of their own, so a
// metric has as many series as its description says, at most.
func TestSeriesAreBounded(t *testing.T) {
	s, c, g, h := newSet()
	for code := range 1000 {
		c.With(fmt.Sprint(code), "client").Inc()
		c.With(fmt.Sprint(code), "upstream").Inc()
	}
	g.With().Inc()
	h.With("client").Observe(1)
	h.With("upstream").Observe(1)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			series[f.GetName()]++
			if h := m.GetHistogram(); h != nil {
				series[f.GetName()] += len(h.GetBucket()) + 2
			}
		}
	}
	for _, d := range s.Reference() {
		if series[d.Name] != d.Series {
			t.Errorf("%s: %d series, its description says %d", d.Name, series[d.Name], d.Series)
		}
	}
}

// TestCountingAllocatesNothing checks that an event whose series exists allocates nothing, also one
// with a label value that is not declared, and one whose histogram has had an exemplar just before.
func TestCountingAllocatesNothing(t *testing.T) {
	_, c, g, h := newSet()
	if n := testing.AllocsPerRun(1000, func() {
		c.With("404", "client").Inc()
		c.With("418", "upstream").Inc()
		g.With().Dec()
		h.Observe(1.5, "an-audit-id", "client")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
