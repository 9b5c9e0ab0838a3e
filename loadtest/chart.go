package main

import (
	"fmt"
	"io"
	"os"
)

// picture returns the report as an SVG document, with one chart for each quantity that changes over
// time.
func (rep *report) picture() string {
	x := make([]float64, len(rep.Series))
	columns := map[string][]float64{}
	for i, s := range rep.Series {
		x[i] = s.Seconds
		for name, value := range map[string]float64{
			"open": float64(s.Open), "failed": float64(s.Failed), "p50": s.P50, "p99": s.P99,
			"up": s.UpRate / mega, "down": s.DownRate / mega,
		} {
			columns[name] = append(columns[name], value)
		}
	}
	pick := func(names ...string) (lines []line) {
		for _, name := range names {
			lines = append(lines, line{name, columns[name]})
		}
		return lines
	}
	var memory, cpu []line
	for i, p := range rep.Processes {
		rss, used := make([]float64, len(x)), make([]float64, len(x))
		for n, s := range rep.Series {
			rss[n], used[n] = float64(s.Processes[i].RSS)/(1<<20), s.Processes[i].CPU
		}
		memory, cpu = append(memory, line{p.Name, rss}), append(cpu, line{p.Name, used})
	}
	s := rep.Settings
	title := fmt.Sprintf("%d sessions (%s), %d busy, %d bulk", s.Sessions, s.Mix, s.Busy, s.Bulk)
	return drawSVG(title, x, []chart{
		{"sessions", "", pick("open", "failed")},
		{"round trip", "ms", pick("p50", "p99")},
		{"throughput", "MB/s", pick("up", "down")},
		{"resident memory", "MiB", memory},
		{"CPU", "% of a core", cpu},
	})
}

// mega is 10^6: MB/s in the charts are decimal megabytes, as usual for networks.
const mega = 1e6

// writeSVG writes the report's charts to a file.
func (rep *report) writeSVG(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("--report-svg: %w", err)
	}
	_, err = io.WriteString(f, rep.picture())
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("--report-svg: %w", err)
	}
	return nil
}
