package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

// thresholds are what a run is judged by. 0 is no bar, but for errors.
type thresholds struct {
	errors                      int
	p50, p99, openP99, firstP99 time.Duration
	rssGrowth                   float64 // percent
	settle                      time.Duration
}

func newThresholds() thresholds { return thresholds{settle: time.Minute} }

func (t *thresholds) addFlags(fs *pflag.FlagSet) {
	fs.IntVar(&t.errors, "max-errors", t.errors, "How many sessions may fail.")
	fs.DurationVar(&t.p50, "max-p50", t.p50, "The most that half of the round trips may take. 0: no threshold.")
	fs.DurationVar(&t.p99, "max-p99", t.p99, "The most that 99 of 100 round trips may take. 0: no threshold.")
	fs.DurationVar(&t.openP99, "max-open-p99", t.openP99, "The most that 99 of 100 answers to a request may take. 0: no threshold.")
	fs.DurationVar(&t.firstP99, "max-first-byte-p99", t.firstP99, "The most that 99 of 100 sessions may wait for their first byte. 0: no threshold.")
	fs.Float64Var(&t.rssGrowth, "max-rss-growth", t.rssGrowth, "By how many percent the memory of each --watch-pid may grow while sessions are held: "+
		"the median of the last quarter over that of the first. 0: no threshold.")
	fs.DurationVar(&t.settle, "rss-settle", t.settle, "How much of the hold phase --max-rss-growth leaves out, from its beginning.")
}

func (t *thresholds) validate(roundTrips, watched bool, hold time.Duration) error {
	limitsTrips := t.p50 > 0 || t.p99 > 0
	switch {
	case t.errors < 0 || t.p50 < 0 || t.p99 < 0 || t.openP99 < 0 || t.firstP99 < 0 || t.rssGrowth < 0 || t.settle < 0:
		return errors.New("--max-*, --rss-settle: must not be negative")
	case limitsTrips && !roundTrips:
		return errors.New("--max-p50, --max-p99: only sessions of --busy or --bulk have round trips; there are none")
	case t.rssGrowth > 0 && !watched:
		return errors.New("--max-rss-growth: needs --watch-pid")
	case t.rssGrowth > 0 && hold < t.settle+8*sampleGap:
		return fmt.Errorf("--max-rss-growth: needs a --duration of at least %s, or a shorter --rss-settle", t.settle+8*sampleGap)
	}
	return nil
}
