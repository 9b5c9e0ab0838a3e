package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"edge/internal/metric"
)

// metricReferenceFile is the document that TestMetricReference writes.
const metricReferenceFile = "../../docs/reference/metrics.md"

const metricReferenceHead = `# Metrics

Every metric of ` + "`edge serve`" + `, at ` + "`/metrics`" + ` on the port of ` + "`--readiness-probe-port`" + `. This page is generated:
` + "`go test ./cmd/edge -run TestMetricReference -update`" + ` writes it, and ` + "`make test`" + ` fails if it differs.

No label has a value that a user chooses: no user, namespace, pod, path or user agent. The last column is the
largest number of time series that one edge has of a metric, whatever clients send. A histogram has one for
each of its buckets, and three more. Most combinations of labels never occur.

The metrics ` + "`go_*` and `process_*`" + ` are those of every Go process, see
[client_golang](https://pkg.go.dev/github.com/prometheus/client_golang/prometheus/collectors). Histograms are
native ones, too, for a Prometheus that asks for them, see [operations.md](../operations.md#native-histograms).

| metric | type | labels | series |
|---|---|---|---|
`

// TestMetricReference checks that docs/reference/metrics.md has every metric, with its labels and
// the bound of its series.
func TestMetricReference(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	page.WriteString(metricReferenceHead)
	var all []metric.Description
	for _, set := range newMeasures().sets() {
		all = append(all, set.Reference()...)
	}
	slices.SortFunc(all, func(a, b metric.Description) int { return strings.Compare(a.Name, b.Name) })
	values := map[string][]string{}
	for _, d := range all {
		var labels []string
		for _, l := range d.Labels {
			labels = append(labels, "`"+l.Name+"`")
			if l.Name != "version" && l.Name != "goversion" {
				values[d.Name+" "+l.Name] = l.Values
			}
		}
		fmt.Fprintf(&page, "| `%s`<br>%s | %s | %s | %s |\n", d.Name, d.Help, d.Type, strings.Join(labels, ", "), strconv.Itoa(d.Series))
	}
	if *updateFlags {
		if err := os.WriteFile(metricReferenceFile, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricReferenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page.String() {
		t.Errorf("docs/reference/metrics.md differs from the metrics: run go test ./cmd/edge -run TestMetricReference -update")
	}
}
