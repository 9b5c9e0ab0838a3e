package main

import (
	"fmt"
	"strconv"
	"time"
)

// verdict compares one measured value of a load test with its threshold.
type verdict struct {
	Name string `json:"name"`
	Bar  string `json:"bar"`
	Got  string `json:"got"`
	Met  bool   `json:"met"`
}

// judge compares the results of a load test with the thresholds in the parameter b. The parameter
// broken is the reason why the load test ended early, or nil.
func judge(b *thresholds, t *tally, s *sampler, broken error) (all []verdict) {
	whole := verdict{Name: "run", Bar: "complete", Got: "complete", Met: broken == nil}
	if broken != nil {
		whole.Got = broken.Error()
	}
	failed := t.failures.Load()
	all = append(all, whole, verdict{"errors", fmt.Sprintf("at most %d", b.errors), strconv.FormatInt(failed, 10), failed <= int64(b.errors)})
	for _, q := range []struct {
		name     string
		figure   figure
		quantile float64
		bar      time.Duration
	}{
		{"round trip p50", roundTrip, 50, b.p50}, {"round trip p99", roundTrip, 99, b.p99},
		{"open p99", opened, 99, b.openP99}, {"first byte p99", firstByte, 99, b.firstP99},
	} {
		if q.bar == 0 {
			continue
		}
		v := verdict{Name: q.name, Bar: "at most " + q.bar.String(), Got: "not measured"}
		if h := t.all(q.figure); h.TotalCount() > 0 {
			got := quantile(h, q.quantile)
			v.Got, v.Met = got.String(), got <= q.bar
		}
		all = append(all, v)
	}
	if b.rssGrowth > 0 {
		for i, p := range s.processes[1:] {
			v := verdict{Name: "memory of " + p.name, Bar: fmt.Sprintf("grows by at most %g%%", b.rssGrowth), Got: "too few samples, or the process exited"}
			if percent, ok := growth(s.series, i+1, b.settle); ok {
				v.Got, v.Met = fmt.Sprintf("%+.1f%%", percent), percent <= b.rssGrowth
			}
			all = append(all, v)
		}
	}
	return all
}
