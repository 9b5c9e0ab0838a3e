// Package metric makes Prometheus metrics whose number of time series has a bound that is known
// when edge starts.
//
// A package that has something to measure has one Set. It declares each metric with the labels that
// it has and with every value of each label:
//
//	var set metric.Set
//	attempts := set.Counter(metric.Opts{
//		Name:   "edge_authentication_attempts_total",
//		Help:   "Attempts to authenticate a request.",
//		Labels: []metric.Label{{Name: "result", Values: []string{"success", "failure"}}},
//	})
//	attempts.With("success").Inc()
//
// A value that is not declared counts as Other. So no client chooses a label's value, and a metric
// has at most the product of its labels' numbers of values, whatever clients send.
//
// A Set is a prometheus.Collector. Set.Reference describes its metrics for
// docs/reference/metrics.md.
package metric
