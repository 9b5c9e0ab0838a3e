package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"edge/internal/metric"
)

// repoFile returns the text of a file of the repository.
func repoFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadyMetric checks that edge_ready is 1 while edge is ready and 0 while it drains, as /ready
// answers.
func TestReadyMetric(t *testing.T) {
	t.Parallel()
	e := newBed(t).serve("--shutdown-delay-duration=1m") // a second SIGTERM, at the test's end, ends the delay
	shows := func(line string) func() bool {
		return func() bool {
			resp, err := http.Get(e.probe + "/metrics")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			return err == nil && strings.Contains(string(text), "\n"+line+"\n")
		}
	}
	e.wait("edge_ready 1", shows("edge_ready 1"))
	e.cmd.Process.Signal(syscall.SIGTERM)
	e.wait("edge_ready 0", shows("edge_ready 0"))
}

// alert is an alert in deploy/monitoring/rules.yaml.
type alert struct {
	Name                string `yaml:"alert"`
	Expr                string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	if err := yaml.Unmarshal([]byte(repoFile(t, "deploy/monitoring/rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	return all
}

var heading = regexp.MustCompile(`(?m)^### (\w+)$`)

// TestAlertsAreDocumented checks that docs/operations.md has a section for each alert, in the same
// order, to which the alert's runbook_url leads, and that each alert says how severe it is.
func TestAlertsAreDocumented(t *testing.T) {
	t.Parallel()
	var names, sections []string
	for _, a := range alerts(t) {
		names = append(names, a.Name)
		if want := "docs/operations.md#" + strings.ToLower(a.Name); a.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, not %q", a.Name, a.Annotations["runbook_url"], want)
		}
		if a.Annotations["summary"] == "" {
			t.Errorf("%s has no summary", a.Name)
		}
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", a.Name, s)
		}
	}
	for _, found := range heading.FindAllStringSubmatch(repoFile(t, "docs/operations.md"), -1) {
		sections = append(sections, found[1])
	}
	if !slices.Equal(names, sections) {
		t.Errorf("alerts\n%q\nsections of docs/operations.md\n%q", names, sections)
	}
}

var metricName = regexp.MustCompile(`\bedge_[a-z0-9_]+\b`)

// TestAlertsAreTested checks that rules_test.yaml, which promtool runs in the end-to-end tests,
// expects each alert to fire, and has each metric of the alert for an edge for which it must not.
func TestAlertsAreTested(t *testing.T) {
	t.Parallel()
	var file struct {
		Tests []struct {
			InputSeries []struct{ Series string } `yaml:"input_series"`
			Exprs       []struct {
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(repoFile(t, "deploy/monitoring/rules_test.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	fires, good := map[string]bool{}, map[string]bool{}
	alertName := regexp.MustCompile(`alertname="(\w+)"`)
	for _, test := range file.Tests {
		for _, s := range test.InputSeries {
			if strings.Contains(s.Series, `instance="good"`) {
				good[metricName.FindString(s.Series)] = true
			}
		}
		for _, e := range test.Exprs {
			for _, s := range e.Samples {
				if strings.Contains(s.Labels, `instance="good"`) {
					t.Errorf("an alert fires for the good edge: %s", s.Labels)
				}
				fires[alertName.FindStringSubmatch(s.Labels)[1]] = true
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Name] {
			t.Errorf("no test expects %s to fire", a.Name)
		}
		delete(fires, a.Name)
		for _, name := range metricName.FindAllString(a.Expr, -1) {
			if !good[name] {
				t.Errorf("%s: the good edge has no %s", a.Name, name)
			}
		}
	}
	if len(fires) > 0 {
		t.Errorf("the tests expect %v, which are no alerts", slices.Collect(maps.Keys(fires)))
	}
}

// TestNamedMetrics checks that each metric that the alerts, the dashboard and docs/operations.md
// name is one that edge has. A histogram has the series _bucket, _sum and _count.
func TestNamedMetrics(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, set := range newMeasures().sets() {
		for _, d := range set.Reference() {
			if d.Type != metric.TypeHistogram {
				known[d.Name] = true
				continue
			}
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				known[d.Name+suffix] = true
			}
		}
	}
	for _, file := range []string{
		"deploy/monitoring/rules.yaml", "deploy/monitoring/rules_test.yaml", "deploy/monitoring/dashboard.json", "docs/operations.md",
	} {
		names := metricName.FindAllString(repoFile(t, file), -1)
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s: edge has no metric %s", file, name)
			}
		}
		if len(names) == 0 && file != "docs/operations.md" {
			t.Errorf("%s: no metric was found", file)
		}
	}
}

// panel is a panel or a row of deploy/monitoring/dashboard.json.
type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               datasource
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                datasource
	}
}

type datasource struct{ Type, UID string }

// chosen is the data source that the user of the dashboard chooses.
var chosen = datasource{"prometheus", "${datasource}"}

// dashboardColumns is the width of Grafana's grid.
const dashboardColumns = 24

// TestDashboard checks what Grafana needs to import the dashboard, and that each panel says what it
// shows. The end-to-end tests send its queries to a Prometheus.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var board struct {
		UID, Title    string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type, Query any }
		}
		Panels []panel
	}
	if err := json.Unmarshal([]byte(repoFile(t, "deploy/monitoring/dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	if board.UID == "" || board.Title == "" || board.SchemaVersion < 36 || len(board.Panels) == 0 {
		t.Errorf("uid %q, title %q, schemaVersion %d, %d panels", board.UID, board.Title, board.SchemaVersion, len(board.Panels))
	}
	if v := board.Templating.List; len(v) != 2 || v[0].Name != "datasource" || v[0].Type != "datasource" || v[0].Query != "prometheus" || v[1].Name != "instance" {
		t.Errorf("the variables are %v, not a data source of type prometheus and the instance", v)
	}
	ids, titles, cells := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] || titles[p.Title] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d, %q: its id or title is missing or used twice", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		p.checkPlace(t, cells)
		if p.Type != "row" {
			p.check(t)
		}
	}
	named := 0
	for _, found := range regexp.MustCompile(`(?:^|[^*])\*([A-Z][^*\n]+)\*`).FindAllStringSubmatch(repoFile(t, "docs/operations.md"), -1) {
		named++
		if !titles[found[1]] {
			t.Errorf("docs/operations.md: the dashboard has no panel %q", found[1])
		}
	}
	if named < 5 {
		t.Errorf("docs/operations.md names only %d panels", named)
	}
}

// checkPlace checks that a panel fits into the dashboard and covers no other.
func (p panel) checkPlace(t *testing.T, cells map[[2]int]string) {
	t.Helper()
	g := p.GridPos
	if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > dashboardColumns {
		t.Errorf("%s: its place is %+v", p.Title, g)
	}
	for x := g.X; x < g.X+g.W; x++ {
		for y := g.Y; y < g.Y+g.H; y++ {
			if other := cells[[2]int{x, y}]; other != "" {
				t.Errorf("%s covers %s", p.Title, other)
				return
			}
			cells[[2]int{x, y}] = p.Title
		}
	}
}

// check checks the description, the unit and the queries of a panel.
func (p panel) check(t *testing.T) {
	t.Helper()
	if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource != chosen || len(p.Targets) == 0 {
		t.Errorf("%s: description %q, unit %q, data source %v, %d queries", p.Title, p.Description, p.FieldConfig.Defaults.Unit, p.Datasource, len(p.Targets))
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if refs[target.RefID] || target.RefID == "" || target.LegendFormat == "" || target.Datasource != chosen {
			t.Errorf("%s: query %+v has no refId of its own, no legend, or another data source", p.Title, target)
		}
		refs[target.RefID] = true
		if !strings.Contains(target.Expr, `{instance=~"$instance"`) {
			t.Errorf("%s: the query does not select the replica: %s", p.Title, target.Expr)
		}
		if strings.Contains(target.Expr, "rate(") && !strings.Contains(target.Expr, "[$__rate_interval]") {
			t.Errorf("%s: the query has a rate over a fixed interval: %s", p.Title, target.Expr)
		}
	}
}
