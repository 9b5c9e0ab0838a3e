package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/e2e/testbed"
	"edge/e2e/testbed/binaries"
	"edge/e2e/testbed/monitoring"
)

// rateInterval is the value of Grafana's variable $__rate_interval. It is long enough for several
// scrapes, also on a busy machine.
const rateInterval = "20s"

// monitoringFile returns the path of a file of deploy/monitoring.
func monitoringFile(t *testing.T, name string) string {
	t.Helper()
	root, err := binaries.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "deploy", "monitoring", name)
}

// dashboard contains the queries of each panel of deploy/monitoring/dashboard.json, by the panel's
// title.
type dashboard map[string][]string

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(monitoringFile(t, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	d := dashboard{}
	for _, p := range file.Panels {
		for _, target := range p.Targets {
			d[p.Title] = append(d[p.Title], target.Expr)
		}
	}
	if len(d) == 0 {
		t.Fatal("the dashboard has no panel")
	}
	return d
}

// filledIn returns a query of the dashboard with values for its variables, as Grafana sends it to
// Prometheus. The parameter instance is a regular expression for the replicas that the user has
// selected.
func filledIn(query, instance string) string {
	return strings.NewReplacer("$instance", instance, "$__rate_interval", rateInterval).Replace(query)
}

// reading is what a panel of the dashboard shows of one edge: its values, by the value of a label.
type reading map[string]float64

// read sends the first query of the panel with this title to Prometheus, for one edge. The
// reading's keys are the values of the label; NaN counts as no value, as in Grafana.
func (d dashboard) read(ctx context.Context, p *monitoring.Prometheus, e *testbed.Edge, title, label string) (reading, error) {
	if d[title] == nil {
		return nil, fmt.Errorf("the dashboard has no panel %q", title)
	}
	samples, err := p.Query(ctx, filledIn(d[title][0], e.Probes))
	r := reading{}
	for _, s := range samples {
		if !math.IsNaN(s.Value) {
			r[s.Labels[label]] = s.Value
		}
	}
	return r, err
}

var errNoData = errors.New("no data")

// hasData returns nil if a query returns at least one value other than NaN.
func hasData(ctx context.Context, p *monitoring.Prometheus, query string) error {
	samples, err := p.Query(ctx, query)
	if err != nil {
		return err
	}
	for _, s := range samples {
		if !math.IsNaN(s.Value) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s", errNoData, query)
}
