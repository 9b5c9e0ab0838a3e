package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

// bars are what a run is judged by. 0 is no bar, but for errors.
type bars struct {
	errors                      int
	p50, p99, openP99, firstP99 time.Duration
	rssGrowth                   float64 // percent
	settle                      time.Duration
}

func newBars() bars { return bars{settle: time.Minute} }

func (b *bars) addFlags(fs *pflag.FlagSet) {
	fs.IntVar(&b.errors, "max-errors", b.errors, "How many sessions may fail.")
	fs.DurationVar(&b.p50, "max-p50", b.p50, "The most that half of the round trips may take. 0: no threshold.")
	fs.DurationVar(&b.p99, "max-p99", b.p99, "The most that 99 of 100 round trips may take. 0: no threshold.")
	fs.DurationVar(&b.openP99, "max-open-p99", b.openP99, "The most that 99 of 100 answers to a request may take. 0: no threshold.")
	fs.DurationVar(&b.firstP99, "max-first-byte-p99", b.firstP99, "The most that 99 of 100 sessions may wait for their first byte. 0: no threshold.")
	fs.Float64Var(&b.rssGrowth, "max-rss-growth", b.rssGrowth, "By how many percent the memory of each --watch-pid may grow while sessions are held: "+
		"the median of the last quarter over that of the first. 0: no threshold.")
	fs.DurationVar(&b.settle, "rss-settle", b.settle, "How much of the hold phase --max-rss-growth leaves out, from its beginning.")
}

func (b *bars) validate(o *options) error {
	switch {
	case b.errors < 0 || b.p50 < 0 || b.p99 < 0 || b.openP99 < 0 || b.firstP99 < 0 || b.rssGrowth < 0 || b.settle < 0:
		return errors.New("--max-*, --rss-settle: must not be negative")
	case (b.p50 > 0 || b.p99 > 0) && o.busy+o.bulk == 0:
		return errors.New("--max-p50, --max-p99: only sessions of --busy or --bulk have round trips; there are none")
	case b.rssGrowth > 0 && len(o.watchPIDs) == 0:
		return errors.New("--max-rss-growth: needs --watch-pid")
	case b.rssGrowth > 0 && o.duration < b.settle+8*sampleGap:
		return fmt.Errorf("--max-rss-growth: needs a --duration of at least %s, or a shorter --rss-settle", b.settle+8*sampleGap)
	}
	return nil
}

// verdict is a bar and what was measured.
type verdict struct {
	Name string `json:"name"`
	Bar  string `json:"bar"`
	Got  string `json:"got"`
	Met  bool   `json:"met"`
}

// judge holds a run against the bars. broken is why it ended early, or nil.
func (b *bars) judge(t *tally, rec *recorder, broken error) (all []verdict) {
	whole := verdict{Name: "run", Bar: "complete", Got: "complete", Met: broken == nil}
	if broken != nil {
		whole.Got = broken.Error()
	}
	failed := t.failures.Load()
	all = append(all, whole, verdict{"errors", fmt.Sprintf("at most %d", b.errors), fmt.Sprint(failed), failed <= int64(b.errors)})
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
		v := verdict{Name: q.name, Bar: "at most " + q.bar.String(), Got: "none was measured"}
		if h := t.all(q.figure); h.TotalCount() > 0 {
			got := quantile(h, q.quantile)
			v.Got, v.Met = got.String(), got <= q.bar
		}
		all = append(all, v)
	}
	if b.rssGrowth > 0 {
		for i, p := range rec.processes[1:] {
			v := verdict{Name: "memory of " + p.name, Bar: fmt.Sprintf("grows by at most %g%%", b.rssGrowth), Got: "not measured to the end"}
			if percent, ok := growth(rec.series, i+1, b.settle); ok {
				v.Got, v.Met = fmt.Sprintf("%+.1f%%", percent), percent <= b.rssGrowth
			}
			all = append(all, v)
		}
	}
	return all
}
