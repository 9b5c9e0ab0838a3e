package main

import (
	"slices"
	"time"
)

// growth returns how much the memory of process i grew in the hold phase, in percent. It ignores
// the time settle at the start of this phase. It compares the median of the last quarter of the
// samples with that of the first quarter. ok is false if there are too few samples or if the
// process exited.
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
