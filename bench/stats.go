package main

import (
	"math"
	"slices"
	"time"
)

// summary describes a handful of samples. With so few of them the extremes say more than a deviation.
type summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// summarize is the zero summary of no samples.
func summarize(samples []float64) summary {
	if len(samples) == 0 {
		return summary{}
	}
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	return summary{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// pairedRatios divides round by round: what slows a whole round down falls out. Rounds that only one
// side has are left out, and those whose divisor is not above 0, as a difference of two times may be.
func pairedRatios(samples, base []float64) []float64 {
	var ratios []float64
	for i := range min(len(samples), len(base)) {
		if base[i] > 0 {
			ratios = append(ratios, samples[i]/base[i])
		}
	}
	return ratios
}

// percentile is the nearest-rank percentile p (0 to 100) of sorted durations, 0 of none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
