package main

import "time"

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
