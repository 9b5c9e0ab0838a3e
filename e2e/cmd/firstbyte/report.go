package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// bar is the largest accepted ratio of two times to the first byte of stdout: through edge, divided
// by direct.
const bar = 1.25

// report is the result of all rounds. Times are in milliseconds, and each list has one value per
// round.
type report struct {
	Settings settings      `json:"settings"`
	Bar      float64       `json:"bar"`
	Kinds    []*kindResult `json:"kinds"`
	// durations of whole runs of kubectl: index 0 direct, index 1 through edge
	Kubectl [2]wholeRuns `json:"kubectl"`
}

// kindResult is the result of all rounds for one kind of session, both direct and through edge.
type kindResult struct {
	Kind    string    `json:"kind"`
	Dial    interval  `json:"dialToStdout"`
	Request interval  `json:"requestToStdout"`
	Switch  interval  `json:"dialTo101"`
	EdgeCPU []float64 `json:"edgeCPU"` // CPU time of edge per session through edge
	// CPU time of the API server per direct session, without edge
	DirectCPU []float64 `json:"apiServerDirect"`
	APICPU    []float64 `json:"apiServerBehindEdge"`
}

// interval contains statistics of the time between two events of a session, one value per round.
type interval struct {
	DirectP50 []float64 `json:"directP50"`
	DirectP99 []float64 `json:"directP99"`
	EdgeP50   []float64 `json:"edgeP50"`
	EdgeP99   []float64 `json:"edgeP99"`
	// median through edge (EdgeP50) divided by direct median (DirectP50)
	Ratios []float64 `json:"ratios"`
}

type wholeRuns []float64

func (w *wholeRuns) add(d time.Duration) { *w = append(*w, ms(d)) }

func newReport(o settings) *report {
	r := &report{Settings: o, Bar: bar}
	for _, k := range kinds {
		r.Kinds = append(r.Kinds, &kindResult{Kind: k.name})
	}
	return r
}

// add adds the values measured in one round: both[0] direct, both[1] through edge.
func (k *kindResult) add(both [2]sample) {
	k.Dial.add(both, func(t times) time.Duration { return t.stdout })
	k.Request.add(both, func(t times) time.Duration { return t.stdout - t.connected })
	k.Switch.add(both, func(t times) time.Duration { return t.switched })
	each := func(cpu time.Duration, s sample) float64 { return ms(cpu) / float64(len(s.times)) }
	k.EdgeCPU = append(k.EdgeCPU, each(both[1].edge, both[1]))
	k.DirectCPU = append(k.DirectCPU, each(both[0].api, both[0]))
	k.APICPU = append(k.APICPU, each(both[1].api, both[1]))
}

func (i *interval) add(both [2]sample, of func(times) time.Duration) {
	var p50, p99 [2]float64
	for way, s := range both {
		took := make([]float64, len(s.times))
		for n, t := range s.times {
			took[n] = ms(of(t))
		}
		slices.Sort(took)
		p50[way], p99[way] = percentile(took, 50), percentile(took, 99)
	}
	i.DirectP50, i.DirectP99 = append(i.DirectP50, p50[0]), append(i.DirectP99, p99[0])
	i.EdgeP50, i.EdgeP99 = append(i.EdgeP50, p50[1]), append(i.EdgeP99, p99[1])
	i.Ratios = append(i.Ratios, p50[1]/p50[0])
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile returns percentile p (0 to 100) of sorted values, by the nearest-rank method.
func percentile(sorted []float64, p float64) float64 {
	return sorted[max(int(math.Ceil(p/100*float64(len(sorted)))), 1)-1]
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// latest describes the result of the last round in one line for the progress output.
func (k *kindResult) latest() string {
	last := len(k.Dial.Ratios) - 1
	return fmt.Sprintf("%.1f ms direct, %.1f ms through edge, ratio %.2f", k.Dial.DirectP50[last], k.Dial.EdgeP50[last], k.Dial.Ratios[last])
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "Milliseconds to the first byte. Medians of %d rounds of %d sessions each, direct and through edge.\n\n", r.Settings.Rounds, r.Settings.Sessions)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "session\tfrom\tto\tdirect p50\tp99\tedge p50\tp99\tratio\tmin to max\tlimit\t")
	for _, k := range r.Kinds {
		k.Dial.print(t, k.Kind, "dial", "stdout", true)
		k.Request.print(t, "", "request", "stdout", true)
		k.Switch.print(t, "", "dial", "101", false)
	}
	t.Flush()
	fmt.Fprintf(w, "\nCPU, milliseconds for a session.\n\n")
	fmt.Fprintln(t, "session\tedge\tmin to max\tsessions per CPU second of edge\tAPI server, direct\tAPI server, behind edge\t")
	for _, k := range r.Kinds {
		edge := median(k.EdgeCPU)
		fmt.Fprintf(t, "%s\t%.2f\t%.2f to %.2f\t%.0f\t%.2f\t%.2f\t\n", k.Kind,
			edge, slices.Min(k.EdgeCPU), slices.Max(k.EdgeCPU), 1000/edge, median(k.DirectCPU), median(k.APICPU))
	}
	t.Flush()
	if len(r.Kubectl[0]) == 0 {
		return
	}
	direct, edge := median(r.Kubectl[0]), median(r.Kubectl[1])
	fmt.Fprintf(w, "\nkubectl %s exec %s -- true, a whole run, median of %d: direct %.0f ms, through edge %.0f ms, ratio %.2f.\n",
		kubectlVersion, pod, r.Settings.Kubectls, direct, edge, edge/direct)
}

func (i *interval) print(w io.Writer, kind, from, to string, barred bool) {
	ratio, verdict := median(i.Ratios), ""
	if barred {
		verdict = fmt.Sprintf("at most %.2f: met", bar)
		if ratio > bar {
			verdict = fmt.Sprintf("at most %.2f: MISSED", bar)
		}
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f to %.2f\t%s\t\n", kind, from, to,
		median(i.DirectP50), median(i.DirectP99), median(i.EdgeP50), median(i.EdgeP99),
		ratio, slices.Min(i.Ratios), slices.Max(i.Ratios), verdict)
}
