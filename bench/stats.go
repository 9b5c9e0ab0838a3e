package main

import (
	"math"
	"slices"
	"time"
)

// summary describes a few values by their median, smallest and largest value. With so few values,
// the smallest and the largest are more useful than a standard deviation.
type summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// summarize computes the median and the extremes of samples. Without samples all are zero.
func summarize(samples []float64) summary {
	if len(samples) == 0 {
		return summary{}
	}
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	return summary{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// pairedRatios divides each round's value in samples by the same round's value in base. So a
// disturbance of a whole round does not change the ratio. It leaves out rounds that only one of the
// two slices has. It also leaves out rounds whose value in base is 0 or less, because a ratio to
// such a value has no meaning; the value can be the difference of two measured values.
func pairedRatios(samples, base []float64) []float64 {
	var ratios []float64
	for i := range min(len(samples), len(base)) {
		if base[i] > 0 {
			ratios = append(ratios, samples[i]/base[i])
		}
	}
	return ratios
}

// percentile returns the nearest-rank percentile p (0 to 100) of sorted durations, or 0 if there
// are none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
