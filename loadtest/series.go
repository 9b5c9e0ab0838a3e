package main

import (
	"slices"
	"time"
)

const (
	// sampleGap is the least time between two samples.
	sampleGap = time.Second
	// maxSamples bounds a series: a longer run has fewer per minute.
	maxSamples = 1200
)

// sample is what a run looked like at a time.
type sample struct {
	Seconds   float64         `json:"seconds"` // since the run began
	Phase     string          `json:"phase"`
	Open      int64           `json:"open"`
	Failed    int64           `json:"failed"`
	UpRate    float64         `json:"upBytesPerSecond"`
	DownRate  float64         `json:"downBytesPerSecond"`
	TripRate  float64         `json:"roundTripsPerSecond"`
	P50       float64         `json:"roundTripP50Milliseconds"` // of those since the last sample; 0: there were none
	P99       float64         `json:"roundTripP99Milliseconds"`
	Processes []processSample `json:"processes"`
}

// processSample is one process's part. All is 0 when it could not be read: it is gone.
type processSample struct {
	RSS         int64   `json:"rssBytes"`
	CPU         float64 `json:"cpuPercent"` // of one core, since the last sample
	Descriptors int     `json:"descriptors,omitempty"`
}

// recorder takes samples of a run.
type recorder struct {
	run       *run
	processes []process
	begin     time.Time
	series    []sample

	last            time.Time
	up, down, trips int64
	cpu             []time.Duration
}

func newRecorder(r *run) *recorder {
	rec := &recorder{run: r, processes: r.options.watched(), begin: time.Now()}
	rec.last = rec.begin
	rec.cpu = make([]time.Duration, len(rec.processes))
	for i, p := range rec.processes {
		if u, err := readUsage(p.pid); err == nil {
			rec.cpu[i] = u.CPU
		}
	}
	return rec
}

// gap is how long it is from one sample to the next.
func (rec *recorder) gap() time.Duration {
	o := rec.run.options
	return max(sampleGap, (o.ramp+o.duration)/maxSamples)
}

// keep takes samples from now until stop is closed, and shows each.
func (rec *recorder) keep(stop <-chan struct{}, show func(*sample)) {
	ticker := time.NewTicker(rec.gap())
	defer ticker.Stop()
	show(rec.take())
	for {
		select {
		case <-stop:
			if time.Since(rec.last) >= sampleGap/2 { // rates over a moment are noise
				show(rec.take())
			}
			return
		case <-ticker.C:
			show(rec.take())
		}
	}
}

func (rec *recorder) take() *sample {
	t, now := rec.run.tally, time.Now()
	passed := max(now.Sub(rec.last).Seconds(), 1e-3)
	up, down, trips := t.up.Load(), t.down.Load(), t.trips.Load()
	p50, p99 := t.recent()
	s := sample{
		Seconds: now.Sub(rec.begin).Seconds(), Phase: phaseNames[rec.run.phase.Load()],
		Open: t.alive.Load(), Failed: t.failures.Load(),
		UpRate: float64(up-rec.up) / passed, DownRate: float64(down-rec.down) / passed, TripRate: float64(trips-rec.trips) / passed,
		P50: milliseconds(p50), P99: milliseconds(p99),
	}
	for i, p := range rec.processes {
		var ps processSample
		if u, err := readUsage(p.pid); err == nil {
			ps = processSample{RSS: u.RSS, CPU: 100 * (u.CPU - rec.cpu[i]).Seconds() / passed, Descriptors: u.Descriptors}
			rec.cpu[i] = u.CPU
		}
		s.Processes = append(s.Processes, ps)
	}
	rec.last, rec.up, rec.down, rec.trips = now, up, down, trips
	if len(rec.series) < 2*maxSamples { // an ending that hangs is bounded by --timeout, this by itself
		rec.series = append(rec.series, s)
	}
	return &s
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// growth is by how many percent the i-th process's memory grew in the hold phase after settle: the median of the last
// quarter over that of the first. It is not ok if there are too few samples, or if the process was gone.
func growth(series []sample, i int, settle time.Duration) (percent float64, ok bool) {
	var rss []int64
	begin := -1.0
	for _, s := range series {
		if s.Phase != phaseNames[holding] || i >= len(s.Processes) {
			continue
		}
		if begin < 0 {
			begin = s.Seconds
		}
		if s.Seconds-begin >= settle.Seconds() {
			rss = append(rss, s.Processes[i].RSS)
		}
	}
	quarter := len(rss) / 4
	if quarter == 0 || slices.Contains(rss, 0) {
		return 0, false
	}
	first, last := median(rss[:quarter]), median(rss[len(rss)-quarter:])
	return 100 * (float64(last)/float64(first) - 1), true
}

func median(values []int64) int64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
