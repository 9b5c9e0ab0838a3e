package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// bar is a limit that one of edge's measured figures should meet. bench only reports whether edge
// meets it, because figures vary from run to run.
type bar struct {
	measure
	pair string // pair (client dialect and upstream protocol) whose ratio to its relay is limited; empty: the limit is for the proxy edge
	// against contains names of proxies. If it is not empty, the limit is for a ratio: edge's
	// figure divided by that of the cheapest of these proxies. For a pair it contains only "relay",
	// and the ratio is the pair's figure divided by that of its relay.
	against []string
	limit   float64
	atLeast bool // true: the field limit is the least allowed figure; false: it is the greatest allowed figure
}

// opaque are the names of the proxies that carry a stream without parsing it.
var opaque = []string{"relay", "nginx", "haproxy"}

var (
	translator = []string{"translator"}
	relay      = []string{"relay"}
)

// bars are all limits for edge's figures that bench can check. The last table of the report shows
// them in this order.
var bars = []bar{
	{measure: transferMeasure("down", maxWrite), against: opaque, limit: 1},
	{measure: transferMeasure("up", maxWrite), against: opaque, limit: 1},
	{measure: transferMeasure("down", maxWrite), against: translator, limit: 0.45},
	{measure: transferMeasure("up", maxWrite), against: translator, limit: 0.25},
	{measure: transferMeasure("down", maxWrite), pair: "exec/spdy/v5", against: relay, limit: 1},
	{measure: transferMeasure("up", maxWrite), pair: "exec/spdy/v5", against: relay, limit: 1},
	{measure: transferMeasure("down", maxWrite), pair: "exec/v5/v5", against: relay, limit: 1},
	{measure: transferMeasure("up", maxWrite), pair: "exec/v5/v5", against: relay, limit: 1},
	{measure: transferMeasure("down", maxWrite), pair: "forward/tunnel/spdy", against: relay, limit: 1},
	{measure: transferMeasure("up", maxWrite), pair: "forward/tunnel/spdy", against: relay, limit: 1},
	{measure: keystrokeCPU, against: relay, limit: 1.05},
	{measure: keystrokeP50, against: relay, limit: 1.05},
	{measure: keystrokeP99, against: relay, limit: 1.05},
	{measure: idleEach, limit: 32},
	{measure: idleSpoken, limit: 32},
	{measure: idleGrowth, limit: 5},
	{measure: measure{plainRequests[0].name, perCPU}, against: relay, limit: 0.9, atLeast: true},
	{measure: measure{plainRequests[1].name, perCPU}, against: relay, limit: 0.9, atLeast: true},
	{measure: idleWatch, against: relay, limit: 1},
}

// barResult compares a measured figure with its bar (the limit that edge should meet). The figure
// is the median of its rounds.
type barResult struct {
	measure
	Of      string  `json:"of"`                // name of the proxy or pair that has the figure in the field Figure
	Against string  `json:"against,omitempty"` // name of the proxy by whose figure Figure is divided; empty: Figure is not divided
	Figure  summary `json:"figure"`
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"atLeast,omitempty"`
	Met     bool    `json:"met"`
	// Before is the same figure for the second edge binary, which the flag --before names (usually
	// edge before a change). Nil: not measured.
	Before *summary `json:"before,omitempty"`
}

// finishBars compares the measured figures with their bars (the limits that edge should meet). It
// omits a bar if edge's figure, or the figure of a proxy with which the bar compares edge, was not
// measured.
func (r *report) finishBars() {
	for _, b := range bars {
		of := "edge"
		var against string
		var figure, earlier *summary
		if b.pair != "" {
			of, against = b.pair, b.against[0]
			figure, earlier = r.pairRatio(b.pair, b.measure), r.pairRatio(labelBefore+" "+b.pair, b.measure)
		} else {
			against, figure = r.figureOf("edge", b)
			_, earlier = r.figureOf(labelBefore, b)
		}
		if figure == nil {
			continue
		}
		met := figure.Median <= b.limit
		if b.atLeast {
			met = figure.Median >= b.limit
		}
		r.Bars = append(r.Bars, &barResult{measure: b.measure, Of: of, Against: against, Figure: *figure, Limit: b.limit,
			AtLeast: b.atLeast, Met: met, Before: earlier})
	}
}

func (r *report) pairRatio(pair string, m measure) *summary {
	if p := r.pairResult(pair, m); p != nil {
		return p.Ratio
	}
	return nil
}

// figureOf returns the figure of the parameter proxy that is compared with the limit in the bar b.
// If b names other proxies in its field against, the figure is the ratio to the cheapest of them,
// whose name is returned too. There is no figure unless all of them were measured; otherwise the
// cheapest of some would be reported as the cheapest of all.
func (r *report) figureOf(proxy string, b bar) (cheapest string, figure *summary) {
	measured := r.find(b.measure)
	if measured == nil {
		return "", nil
	}
	edge := measured.proxy(proxy)
	if edge == nil {
		return "", nil
	}
	if len(b.against) == 0 {
		return "", &edge.summary
	}
	var least *proxyResult
	for _, name := range b.against {
		p := measured.proxy(name)
		if p == nil {
			return "", nil
		}
		if least == nil || p.Median < least.Median {
			least = p
		}
	}
	divided, ok := edge.Ratios[least.Proxy]
	if !ok { // the cheapest proxy's figure is 0 or less in all rounds, so edge's figure cannot be divided by it
		return "", nil
	}
	return least.Proxy, &divided
}

// writeBars prints one line for each measured figure and its bar (the limit that edge should meet).
func writeBars(w io.Writer, results []*barResult) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	compared := slices.ContainsFunc(results, func(b *barResult) bool { return b.Before != nil })
	fmt.Fprint(tw, "bar\tof\tfigure\tspread\tunit\tlimit\tverdict")
	if compared {
		fmt.Fprint(tw, "\tbefore\tspread")
	}
	fmt.Fprintln(tw)
	for _, b := range results {
		in, verdict, side := b.Unit, "met", "at most "
		if b.Against != "" {
			in = "x " + b.Against
		}
		if b.AtLeast {
			side = "at least "
		}
		if !b.Met {
			verdict = "MISSED"
		}
		fmt.Fprintf(tw, "%s %s\t%s\t%s\t%s\t%s\t%s%s\t%s", b.Name, b.Unit, b.Of, digits(b.Figure.Median), b.Figure.spread(), in,
			side, strconv.FormatFloat(b.Limit, 'g', -1, 64), verdict)
		if b.Before != nil {
			fmt.Fprintf(tw, "\t%s\t%s", digits(b.Before.Median), b.Before.spread())
		}
		fmt.Fprintln(tw)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if missing := len(bars) - len(results); missing > 0 {
		_, err := fmt.Fprintf(w, "%d of %d bars (limits for edge's figures) were not measured\n", missing, len(bars))
		return err
	}
	return nil
}
