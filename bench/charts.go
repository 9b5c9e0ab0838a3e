package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeCharts writes the charts into the folder dir. It writes one file for each first word of a
// measure's name, for example down.svg. For each of these words it writes another file with the
// ratios of the pairs, for example pairs-down.svg.
func writeCharts(dir string, r *report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("bench: create the folder for charts: %w", err)
	}
	for name, panels := range r.charts() {
		if err := os.WriteFile(filepath.Join(dir, name+".svg"), drawChart(name, panels), 0o644); err != nil {
			return fmt.Errorf("bench: write a chart: %w", err)
		}
	}
	return nil
}

// charts returns the panels (one measure each) of each chart file. The key is the file's name
// without extension.
func (r *report) charts() map[string][]panel {
	all := map[string][]panel{}
	for _, m := range r.Measures {
		p := panel{title: m.Name, unit: m.Unit}
		for _, proxy := range m.Proxies {
			p.rows = append(p.rows, row{label: proxy.Proxy, ours: proxy.Proxy == "edge", summary: proxy.summary})
		}
		all[m.chart()] = append(all[m.chart()], p)
	}
	for _, p := range r.Pairs {
		if p.Ratio == nil {
			continue
		}
		name := "pairs-" + p.chart()
		panels := all[name]
		if len(panels) == 0 || panels[len(panels)-1].title != p.Name {
			panels = append(panels, panel{title: p.Name, unit: "x relay, " + p.Unit, mark: 1})
		}
		last := &panels[len(panels)-1]
		last.rows = append(last.rows, row{label: p.Pair, ours: !strings.Contains(p.Pair, " "), summary: *p.Ratio})
		all[name] = panels
	}
	return all
}

// chart returns the name, without extension, of the chart file that shows the measure.
func (m measure) chart() string {
	first, _, _ := strings.Cut(m.Name, " ")
	return strings.TrimSuffix(first, ",")
}
