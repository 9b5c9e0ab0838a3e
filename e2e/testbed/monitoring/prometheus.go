package monitoring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"edge/e2e/testbed/run"
)

// PrometheusOptions configures StartPrometheus.
type PrometheusOptions struct {
	// Targets are the host:ports whose /metrics Prometheus scrapes every second. A target's
	// host:port is the label instance of its series.
	Targets []string
	// Rules are the paths of rule files.
	Rules []string
	// NativeHistograms makes Prometheus ask the targets for native histograms, and store those.
	NativeHistograms bool
	// Config is the text of a configuration file that replaces Targets and Rules; empty: none does.
	Config string
}

// Prometheus is a running Prometheus.
type Prometheus struct {
	URL     string
	Process *run.Process
}

// StartPrometheus starts Prometheus with an empty database. It returns when Prometheus has scraped
// every target.
func (m *Monitoring) StartPrometheus(ctx context.Context, o PrometheusOptions) (*Prometheus, error) {
	port, err := run.FreePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(m.Dir, fmt.Sprintf("prometheus-%d", port))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		return nil, err
	}
	argv := []string{m.Bin.Prometheus,
		"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + run.Loopback(port)}
	if o.NativeHistograms {
		argv = append(argv, "--enable-feature=native-histograms")
	}
	p := &Prometheus{URL: "http://" + run.Loopback(port)}
	if p.Process, err = run.Spawn(dir, "prometheus", argv); err != nil {
		return nil, err
	}
	m.OnClose(p.Process.Kill)
	return p, run.Until(ctx, run.StartupTime, "Prometheus", func(ctx context.Context) error {
		up, err := p.Query(ctx, "up == 1")
		if err == nil && len(up) != len(o.Targets) {
			err = fmt.Errorf("%d of %d targets were scraped", len(up), len(o.Targets))
		}
		return err
	}, p.Process)
}

// config returns the configuration file.
func (o PrometheusOptions) config() ([]byte, error) {
	if o.Config != "" {
		return []byte(o.Config), nil
	}
	return json.Marshal(map[string]any{ // JSON is also valid YAML
		"global":     map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"rule_files": o.Rules,
		"scrape_configs": []any{map[string]any{
			"job_name": "edge", "static_configs": []any{map[string]any{"targets": o.Targets}},
		}},
	})
}

// Sample is one element of the vector that a query returns.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates a PromQL expression, whose type is an instant vector, now.
func (p *Prometheus) Query(ctx context.Context, expr string) ([]Sample, error) {
	var data struct {
		ResultType string
		Result     []struct {
			Metric map[string]string
			Value  [2]any // the time, and the value as text
		}
	}
	err := p.get(ctx, "/api/v1/query", map[string]string{"query": expr}, &data)
	if err != nil {
		return nil, fmt.Errorf("testbed: query %s: %w", expr, err)
	}
	if data.ResultType != "vector" {
		return nil, fmt.Errorf("testbed: query %s: the result is a %s, want a vector", expr, data.ResultType)
	}
	samples := make([]Sample, len(data.Result))
	for i, r := range data.Result {
		text, ok := r.Value[1].(string)
		if !ok {
			return nil, fmt.Errorf("testbed: query %s: %v has no value", expr, r.Metric)
		}
		if samples[i].Value, err = strconv.ParseFloat(text, 64); err != nil {
			return nil, err
		}
		samples[i].Labels = r.Metric
	}
	return samples, nil
}

// Rule is a rule that Prometheus has loaded.
type Rule struct {
	Name, Query string
	// Health is "ok" if the last evaluation succeeded; LastError is why it did not.
	Health, LastError string
}

// Rules returns the rules of all groups.
func (p *Prometheus) Rules(ctx context.Context) ([]Rule, error) {
	var data struct{ Groups []struct{ Rules []Rule } }
	if err := p.get(ctx, "/api/v1/rules", nil, &data); err != nil {
		return nil, fmt.Errorf("testbed: rules: %w", err)
	}
	var all []Rule
	for _, g := range data.Groups {
		all = append(all, g.Rules...)
	}
	return all, nil
}

// Target is a target that service discovery found, with the labels that it had before relabeling.
type Target struct{ DiscoveredLabels map[string]string }

// FoundTargets returns the targets that Prometheus scrapes, and those that relabeling has dropped.
func (p *Prometheus) FoundTargets(ctx context.Context) (active, dropped []Target, err error) {
	var data struct{ ActiveTargets, DroppedTargets []Target }
	if err := p.get(ctx, "/api/v1/targets", nil, &data); err != nil {
		return nil, nil, fmt.Errorf("testbed: targets: %w", err)
	}
	return data.ActiveTargets, data.DroppedTargets, nil
}

// get sends a GET to Prometheus' HTTP API, and stores the field data of the answer in data.
func (p *Prometheus) get(ctx context.Context, path string, query map[string]string, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+path, nil)
	if err != nil {
		return err
	}
	values := req.URL.Query()
	for name, value := range query {
		values.Set(name, value)
	}
	req.URL.RawQuery = values.Encode()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return nil
}
