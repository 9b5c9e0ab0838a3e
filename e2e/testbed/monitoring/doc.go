// Package monitoring starts Prometheus for a run of the testbed and queries it, and runs promtool.
// A Prometheus scrapes edge's readiness port, evaluates the rules of deploy/monitoring, and answers
// the queries of the dashboard:
//
//	p, err := tb.StartPrometheus(ctx, monitoring.PrometheusOptions{Targets: []string{edge.Probes}})
//	samples, err := p.Query(ctx, `sum(edge_sessions)`)
//
// It contains no metric names and no rules: tests take those from the files that edge ships.
package monitoring
