package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/monitoring"
)

// TestNativeHistograms checks that a Prometheus that asks for native histograms gets edge's
// histograms in that form, with the same number of observations as requests, and can compute
// quantiles of them.
func TestNativeHistograms(t *testing.T) {
	t.Parallel()
	edge := startEdge(t, testbed.EdgeOptions{Cluster: sites[cluster.New].cluster, Issuer: idp})
	prometheus := startPrometheus(t, monitoring.PrometheusOptions{Targets: []string{edge.Probes}, NativeHistograms: true})
	h := newHand(t, edge.Access(tokens["alice"]))
	const most = 1000
	sent := 0
	list := func(ctx context.Context) error {
		if sent == most {
			return fmt.Errorf("no data after %d requests", sent)
		}
		r := h.do(ctx, http.MethodGet, podsURI+"?limit=1", nil)
		if r.err != nil || r.code != http.StatusOK {
			return fmt.Errorf("%v", r)
		}
		sent++
		return nil
	}
	// the rate of a histogram has data only while requests end
	eventually(t.Context(), t, patience, "a quantile", func(ctx context.Context) error {
		if err := list(ctx); err != nil {
			return err
		}
		return hasData(ctx, prometheus, `histogram_quantile(0.9, sum(rate(edge_request_duration_seconds{verb="LIST"}[`+rateInterval+`])))`)
	})
	eventually(t.Context(), t, patience, "all observations", func(ctx context.Context) error {
		counts, err := prometheus.Query(ctx, `histogram_count(sum(edge_request_duration_seconds{verb="LIST",code="200"}))`)
		if err == nil && (len(counts) != 1 || counts[0].Value != float64(sent)) {
			err = fmt.Errorf("%v, want %d observations", counts, sent)
		}
		return err
	})
	// otherwise the series above would not be native ones
	if classic, err := prometheus.Query(t.Context(), `edge_request_duration_seconds_bucket`); err != nil || len(classic) > 0 {
		t.Errorf("%d classic buckets, %v, want none", len(classic), err)
	}
}
