package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// pairResult has the figures of one measure for one pair, or for a relay that pairs are divided by.
type pairResult struct {
	Pair string `json:"pair"`
	measure
	Samples []float64 `json:"samples"` // one for each round, in the order of the rounds
	summary
	Relay string   `json:"relay,omitempty"` // divisor of Ratio: another result of the same measure
	Ratio *summary `json:"ratio,omitempty"` // nil for a relay
}

// addPair adds the cost of one turn of a lane to the report.
func (r *report) addPair(l lane, cost reading) {
	p := r.pairResult(l.label, cost.measure)
	if p == nil {
		p = &pairResult{Pair: l.label, measure: cost.measure, Relay: l.relay}
		r.Pairs = append(r.Pairs, p)
	}
	p.Samples = append(p.Samples, cost.value)
}

func (r *report) pairResult(name string, m measure) *pairResult {
	i := slices.IndexFunc(r.Pairs, func(p *pairResult) bool { return p.Pair == name && p.measure == m })
	if i < 0 {
		return nil
	}
	return r.Pairs[i]
}

// finishPairs computes summaries and ratios after the last sample.
func (r *report) finishPairs() {
	for _, p := range r.Pairs {
		p.summary = summarize(p.Samples)
		if relay := r.pairResult(p.Relay, p.measure); relay != nil {
			ratio := summarize(pairedRatios(p.Samples, relay.Samples))
			p.Ratio = &ratio
		}
	}
}

// writePairs prints one line for each measure and pair. The lines of a pair follow those of its
// relay.
func writePairs(w io.Writer, pairs []*pairResult) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "pair\tmeasure\tunit\tmedian\tspread\tx relay")
	for _, p := range pairs {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Pair, p.Name, p.Unit, digits(p.Median), p.spread(), ratio(p.Ratio))
	}
	return tw.Flush()
}
