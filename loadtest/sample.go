package main

import (
	"slices"
	"time"
)

const (
	// sampleGap is the shortest interval between two samples of the load test's state.
	sampleGap = time.Second
	// maxSamples limits the number of samples in the phases ramp and hold. In a longer load test
	// the samples are further apart.
	maxSamples = 1200
)

// sample is the state of a load test at one time.
type sample struct {
	Seconds   float64         `json:"seconds"` // time since the load test began
	Phase     string          `json:"phase"`
	Open      int64           `json:"open"`
	Failed    int64           `json:"failed"`
	UpRate    float64         `json:"upBytesPerSecond"`
	DownRate  float64         `json:"downBytesPerSecond"`
	TripRate  float64         `json:"roundTripsPerSecond"`
	P50       float64         `json:"roundTripP50Milliseconds"` // median of the round trips since the previous sample; 0: there were none
	P99       float64         `json:"roundTripP99Milliseconds"`
	Processes []processSample `json:"processes"`
}

// processSample is the usage (memory, CPU time) of one process in a sample. All fields are 0 if the
// process could not be read, because it has exited.
type processSample struct {
	RSS         int64   `json:"rssBytes"`
	CPU         float64 `json:"cpuPercent"` // CPU usage since the previous sample, in percent of one core
	Descriptors int     `json:"descriptors,omitempty"`
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// growth returns by how many percent the memory of process i grew in the hold phase. It ignores the
// time settle at the start of this phase. It compares the median of the last quarter of the samples
// with that of the first quarter. ok is false if there are too few samples or if the process
// exited.
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
