package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

// thresholds are the limits that a load test must not exceed. 0 means no threshold, except in the
// field errors, where 0 means that no session may fail.
type thresholds struct {
	errors                      int
	p50, p99, openP99, firstP99 time.Duration
	rssGrowth                   float64       // maximum growth of memory, in percent; applies to each process of --watch-pid
	settle                      time.Duration // time at the start of the hold phase that the threshold rssGrowth ignores
}

func newThresholds() thresholds { return thresholds{settle: time.Minute} }

func (t *thresholds) addFlags(fs *pflag.FlagSet) {
	fs.IntVar(&t.errors, "max-errors", t.errors, "Maximum number of sessions that may fail.")
	fs.DurationVar(&t.p50, "max-p50", t.p50, "Maximum median round trip time. 0: no threshold.")
	fs.DurationVar(&t.p99, "max-p99", t.p99, "Maximum 99th percentile of the round trip time. 0: no threshold.")
	fs.DurationVar(&t.openP99, "max-open-p99", t.openP99, "Maximum 99th percentile of the time from a request to its response. 0: no threshold.")
	fs.DurationVar(&t.firstP99, "max-first-byte-p99", t.firstP99, "Maximum 99th percentile of the time from a request to the first byte that comes back. 0: no threshold.")
	fs.Float64Var(&t.rssGrowth, "max-rss-growth", t.rssGrowth, "Maximum growth of the resident memory of each --watch-pid process in the hold phase, in percent: "+
		"median of the last quarter compared with that of the first. 0: no threshold.")
	fs.DurationVar(&t.settle, "rss-settle", t.settle, "Time at the start of the hold phase that --max-rss-growth ignores.")
}

func (t *thresholds) validate(roundTrips, watched bool, hold time.Duration) error {
	limitsTrips := t.p50 > 0 || t.p99 > 0
	switch {
	case t.errors < 0 || t.p50 < 0 || t.p99 < 0 || t.openP99 < 0 || t.firstP99 < 0 || t.rssGrowth < 0 || t.settle < 0:
		return errors.New("--max-*, --rss-settle: must not be negative")
	case limitsTrips && !roundTrips:
		return errors.New("--max-p50, --max-p99: only busy and bulk sessions measure round trips; set --busy or --bulk")
	case t.rssGrowth > 0 && !watched:
		return errors.New("--max-rss-growth: requires --watch-pid")
	case t.rssGrowth > 0 && hold < t.settle+8*sampleGap:
		return fmt.Errorf("--max-rss-growth: requires a --duration of at least %s, or a shorter --rss-settle", t.settle+8*sampleGap)
	}
	return nil
}

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
