package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// report is the result of a load test. Its JSON is the output of --report-json.
type report struct {
	Began      time.Time       `json:"began"`
	Server     string          `json:"server"`
	Settings   settings        `json:"settings"`
	Seconds    float64         `json:"seconds"`
	Kinds      []kindReport    `json:"kinds"`
	UpBytes    int64           `json:"upBytes"`
	DownBytes  int64           `json:"downBytes"`
	Events     int64           `json:"watchEvents"`
	Errors     []failure       `json:"errors"`
	Processes  []processReport `json:"processes"`
	Thresholds []verdict       `json:"thresholds"`
	Series     []sample        `json:"series"`
}

// settings are the values of flags that influence the result. Two reports can be compared only if
// their settings are equal.
type settings struct {
	Sessions      int     `json:"sessions"`
	Mix           string  `json:"mix"`
	Busy          int     `json:"busy"`
	WriteSize     int     `json:"writeSize"`
	Rate          float64 `json:"rate"`
	Bulk          int     `json:"bulk"`
	BulkWriteSize int     `json:"bulkWriteSize"`
	BulkRate      float64 `json:"bulkRate"`
	Ramp          string  `json:"ramp"`
	Duration      string  `json:"duration"`
}

// kindReport is the result of all sessions of one kind, such as exec.
type kindReport struct {
	Name string `json:"name"`
	counts
	Times []times `json:"times"`
}

// times is the distribution of a measured duration, in milliseconds.
type times struct {
	Figure string  `json:"figure"`
	Count  int64   `json:"count"`
	P50    float64 `json:"p50"`
	P90    float64 `json:"p90"`
	P99    float64 `json:"p99"`
	P999   float64 `json:"p99.9"`
	Max    float64 `json:"max"`
}

// processReport is the memory and CPU time of one process during the load test. Growth is nil if
// there are too few samples or if the process exited.
type processReport struct {
	Name   string   `json:"name"`
	First  int64    `json:"firstRssBytes"` // memory in the first sample, before any session opens
	Hold   int64    `json:"holdRssBytes"`  // median of the memory in the hold phase
	Peak   int64    `json:"peakRssBytes"`
	Growth *float64 `json:"growthPercent"`  // how far memory grew in the hold phase after --rss-settle; nil: unknown
	CPU    float64  `json:"holdCpuPercent"` // mean of the CPU usage in the hold phase, in percent of one core
}

func newReport(r *run, sm *sampler, broken error) *report {
	o := r.options
	rep := &report{
		Began: sm.begin.UTC().Truncate(time.Second), Server: r.endpoint.base.Redacted(),
		Settings: settings{o.sessions, o.mixText, o.busy, o.keystrokes.size, o.keystrokes.rate,
			o.bulk, o.bulks.size, o.bulks.rate, o.ramp.String(), o.duration.String()},
		Seconds: time.Since(sm.begin).Seconds(),
		UpBytes: r.tally.up.Load(), DownBytes: r.tally.down.Load(), Events: r.tally.events.Load(),
		Errors: []failure{}, Thresholds: judge(&o.thresholds, r.tally, sm, broken), Series: sm.series,
	}
	rep.addTally(r.tally)
	for i, p := range sm.processes {
		rep.Processes = append(rep.Processes, newProcessReport(p.name, sm.series, i, o.thresholds.settle))
	}
	return rep
}

func (rep *report) addTally(t *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range kinds {
		k := &kinds[i]
		if t.counts[k] == nil {
			continue
		}
		one := kindReport{Name: k.name, counts: *t.counts[k], Times: []times{}}
		for what, h := range t.times[k] {
			if h != nil {
				at := func(q float64) float64 { return milliseconds(quantile(h, q)) }
				one.Times = append(one.Times, times{figureNames[what], h.TotalCount(), at(50), at(90), at(99), at(99.9), at(100)})
			}
		}
		rep.Kinds = append(rep.Kinds, one)
	}
	for _, f := range t.errors {
		rep.Errors = append(rep.Errors, *f)
	}
	slices.SortFunc(rep.Errors, func(a, b failure) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Class, b.Class)) })
}

func newProcessReport(name string, series []sample, i int, settle time.Duration) processReport {
	p := processReport{Name: name}
	var held []int64
	var cpu float64
	for n, s := range series {
		ps := s.Processes[i]
		if n == 0 {
			p.First = ps.RSS
		}
		p.Peak = max(p.Peak, ps.RSS)
		if s.Phase == phaseNames[holding] {
			held = append(held, ps.RSS)
			cpu += ps.CPU
		}
	}
	if len(held) > 0 {
		p.Hold, p.CPU = median(held), cpu/float64(len(held))
	}
	if percent, ok := growth(series, i, settle); ok {
		p.Growth = &percent
	}
	return p
}

// missed reports whether the load test missed any threshold.
func (rep *report) missed() bool {
	return slices.ContainsFunc(rep.Thresholds, func(v verdict) bool { return !v.Met })
}

// writeJSON writes the report as JSON to a file.
func (rep *report) writeJSON(name string) error {
	text, err := json.MarshalIndent(rep, "", " ")
	if err != nil {
		return fmt.Errorf("--report-json: %w", err)
	}
	if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("--report-json: %w", err)
	}
	return nil
}
