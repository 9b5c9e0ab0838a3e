package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// pairResult contains the figures of one measure for one pair (client dialect and upstream
// protocol), or for a relay (a proxy that copies bytes) by whose figures bench divides those of
// pairs.
type pairResult struct {
	Pair string `json:"pair"`
	measure
	Samples []float64 `json:"samples"` // one figure for each round, in the order of the rounds
	summary
	Relay string   `json:"relay,omitempty"` // name of the relay by whose figures bench divides the figures of this pair; empty: the figures are a relay's
	Ratio *summary `json:"ratio,omitempty"` // figure of the pair divided by the relay's figure; nil: the figures are a relay's
}

// addPair adds to the report the CPU cost of the lane l in one run of an experiment. A lane is a
// proxy with one client dialect.
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

// finishPairs computes medians and ratios of pairs after all rounds were measured.
func (r *report) finishPairs() {
	for _, p := range r.Pairs {
		p.summary = summarize(p.Samples)
		if relay := r.pairResult(p.Relay, p.measure); relay != nil {
			ratio := summarize(pairedRatios(p.Samples, relay.Samples))
			p.Ratio = &ratio
		}
	}
}

// writePairs prints one line for each measure and each pair (client dialect and upstream protocol).
// The lines of a pair follow those of its relay.
func writePairs(w io.Writer, pairs []*pairResult) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "pair\tmeasure\tunit\tmedian\tspread\tx relay")
	for _, p := range pairs {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Pair, p.Name, p.Unit, digits(p.Median), p.spread(), ratio(p.Ratio))
	}
	return tw.Flush()
}
