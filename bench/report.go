package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// baselines are the proxies with which other proxies are compared. Each baseline has a column in
// the table, with the figures of other proxies divided by the baseline's.
var baselines = []string{labelBefore, "relay", "nginx", "haproxy", "translator", labelDirect}

// measure is what is measured: the name and the unit of a figure in reports, such as "down, 32 KiB"
// in "CPU s/GB".
type measure struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// reading is the value of one measure that a proxy had in one turn (one run of an experiment).
type reading struct {
	measure
	value float64
}

// report is the result of a call of bench: the machine, the settings and all figures.
type report struct {
	Started  time.Time        `json:"started"`
	Seconds  float64          `json:"seconds"`            // duration of the whole measurement
	CutShort bool             `json:"cutShort,omitempty"` // an error or a signal ended the measurement early; rounds may be missing
	Machine  machine          `json:"machine"`
	Settings settings         `json:"settings"`
	Measures []*measureResult `json:"measures"` // in the order in which bench first measured them
	Pairs    []*pairResult    `json:"pairs"`    // sorted by measure, then in the order in which the proxies took turns
	Bars     []*barResult     `json:"bars"`     // comparisons of edge's measured figures with the limits in bars.go
}

type measureResult struct {
	measure
	Proxies []*proxyResult `json:"proxies"` // in the order in which bench first measured them
}

type proxyResult struct {
	Proxy   string    `json:"proxy"`
	Samples []float64 `json:"samples"` // one value for each round, in the order of the rounds
	summary
	Ratios map[string]summary `json:"ratios,omitempty"` // figure divided by that of a baseline; key: name of the baseline (a proxy)
}

// add adds the readings (measured values) of one run of an experiment on a proxy to the report.
func (r *report) add(proxy string, readings []reading) {
	for _, reading := range readings {
		m := r.result(reading.measure)
		p := m.proxy(proxy)
		if p == nil {
			p = &proxyResult{Proxy: proxy}
			m.Proxies = append(m.Proxies, p)
		}
		p.Samples = append(p.Samples, reading.value)
	}
}

// finish computes medians, ratios and the comparison with the limits in bars.go, after all rounds
// were measured.
func (r *report) finish(now time.Time) {
	r.Seconds = now.Sub(r.Started).Seconds()
	for _, m := range r.Measures {
		for _, p := range m.Proxies {
			p.summary = summarize(p.Samples)
			p.Ratios = map[string]summary{}
			for _, name := range baselines {
				if base := m.proxy(name); base != nil && base != p {
					if ratios := pairedRatios(p.Samples, base.Samples); len(ratios) > 0 {
						p.Ratios[name] = summarize(ratios)
					}
				}
			}
		}
	}
	r.finishPairs()
	r.finishBars()
}

// result returns the report's entry for a measure, and creates it if necessary.
func (r *report) result(m measure) *measureResult {
	if found := r.find(m); found != nil {
		return found
	}
	begun := &measureResult{measure: m}
	r.Measures = append(r.Measures, begun)
	return begun
}

func (r *report) find(m measure) *measureResult {
	i := slices.IndexFunc(r.Measures, func(x *measureResult) bool { return x.measure == m })
	if i < 0 {
		return nil
	}
	return r.Measures[i]
}

func (m *measureResult) proxy(name string) *proxyResult {
	i := slices.IndexFunc(m.Proxies, func(p *proxyResult) bool { return p.Proxy == name })
	if i < 0 {
		return nil
	}
	return m.Proxies[i]
}

// writeTable prints the machine and the settings, and then the tables of proxies, of pairs and of
// bars (the limits that edge should meet).
func writeTable(w io.Writer, r *report) error {
	fmt.Fprintf(w, "%s\n", r.Machine)
	cut := ""
	if r.CutShort {
		cut = ", INCOMPLETE: some measures have fewer rounds or none"
	}
	fmt.Fprintf(w, "%s, %d rounds (%d idle with %d sessions) in %.0f s%s\n", r.Started.Format(time.DateTime), r.Settings.Rounds,
		r.Settings.IdleRounds, r.Settings.Sessions, r.Seconds, cut)
	if len(r.Measures) > 0 {
		fmt.Fprintln(w)
		if err := writeProxies(w, r.Measures); err != nil {
			return err
		}
	}
	if len(r.Pairs) > 0 {
		fmt.Fprintln(w)
		if err := writePairs(w, r.Pairs); err != nil {
			return err
		}
	}
	if len(r.Bars) > 0 {
		fmt.Fprintln(w)
		return writeBars(w, r.Bars)
	}
	return nil
}

// writeProxies prints a table with one line for each measure and proxy.
func writeProxies(w io.Writer, measures []*measureResult) error {
	columns := slices.DeleteFunc(slices.Clone(baselines), func(name string) bool {
		return name == labelBefore && !slices.ContainsFunc(measures, func(m *measureResult) bool { return m.proxy(name) != nil })
	})
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(tw, "measure\tunit\tproxy\tmedian\tspread")
	for _, name := range columns {
		fmt.Fprintf(tw, "\tx %s", name)
	}
	fmt.Fprintln(tw)
	for _, m := range measures {
		for _, p := range m.Proxies {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s", m.Name, m.Unit, p.Proxy, digits(p.Median), p.spread())
			for _, name := range columns {
				var divided *summary
				if x, ok := p.Ratios[name]; ok {
					divided = &x
				}
				fmt.Fprintf(tw, "\t%s", ratio(divided))
			}
			fmt.Fprintln(tw)
		}
	}
	return tw.Flush()
}

func (s summary) spread() string { return digits(s.Min) + " - " + digits(s.Max) }

// ratio formats the median of a ratio, or a dash if s is nil.
func ratio(s *summary) string {
	if s == nil {
		return "-"
	}
	return strconv.FormatFloat(s.Median, 'f', 2, 64)
}

// digits formats a number with three significant digits, or with all digits before the decimal
// point if these are more.
func digits(v float64) string {
	switch size := math.Abs(v); {
	case size >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

// sizeName formats a size in bytes with the largest unit of which it is a multiple.
func sizeName(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return strconv.Itoa(n>>20) + " MiB"
	case n >= 1<<10 && n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + " KiB"
	default:
		return strconv.Itoa(n) + " B"
	}
}
