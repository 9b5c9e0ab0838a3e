package e2e

import (
	"testing"
	"time"

	"edge/e2e/testbed"
	"edge/e2e/testbed/cluster"
	"edge/e2e/testbed/issuer"
	"edge/e2e/testbed/monitoring"
)

// The functions in this file start a program for one test and stop it when the test ends. Otherwise
// the memory use of a run would grow with the number of its tests.

func startIssuer(t *testing.T) *issuer.Issuer {
	t.Helper()
	provider, err := bed.StartIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.Stop)
	return provider
}

// startReplica starts an additional API server of a cluster, with args. The API server
// ends with the test.
func startReplica(t *testing.T, c *cluster.Cluster, args ...string) *cluster.Replica {
	t.Helper()
	replica, err := c.StartReplica(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(replica.Kill)
	return replica
}

func startEdge(t *testing.T, o testbed.EdgeOptions) *testbed.Edge {
	t.Helper()
	edge, err := bed.StartEdge(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { edge.Process.Stop(10 * time.Second) })
	return edge
}

func startPrometheus(t *testing.T, o monitoring.PrometheusOptions) *monitoring.Prometheus {
	t.Helper()
	prometheus, err := bed.StartPrometheus(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(prometheus.Process.Kill)
	return prometheus
}
