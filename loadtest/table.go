package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// writeTable writes the report as text with tables.
func (rep *report) writeTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s, %d sessions, %.0f s\n\n", rep.Server, rep.Settings.Sessions, rep.Seconds)
	fmt.Fprintln(w, "kind\tplanned\topened\tended well\tfailed")
	for _, k := range rep.Kinds {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", k.Name, k.Planned, k.Opened, k.Ended, k.Failed)
	}
	fmt.Fprintln(w, "\nkind\tms\tcount\tp50\tp90\tp99\tp99.9\tmax")
	for _, k := range rep.Kinds {
		for _, t := range k.Times {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", k.Name, t.Figure, t.Count,
				digits(t.P50), digits(t.P90), digits(t.P99), digits(t.P999), digits(t.Max))
		}
	}
	fmt.Fprintf(w, "\nup %s, down %s, %d watch events\n", bytesText(float64(rep.UpBytes)), bytesText(float64(rep.DownBytes)), rep.Events)
	fmt.Fprintln(w, "\nprocess\tRSS before\theld\tpeak\tgrowth\tCPU held")
	for _, p := range rep.Processes {
		grown := "-"
		if p.Growth != nil {
			grown = fmt.Sprintf("%+.1f%%", *p.Growth)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.0f%%\n", p.Name, bytesText(float64(p.First)), bytesText(float64(p.Hold)),
			bytesText(float64(p.Peak)), grown, p.CPU)
	}
	if len(rep.Errors) > 0 {
		fmt.Fprintln(w, "\nerror\tcount\tfirst example")
		for _, e := range rep.Errors {
			fmt.Fprintf(w, "%s\t%d\t%s: %s\n", e.Class, e.Count, e.Kind, e.Example)
		}
	}
	fmt.Fprintln(w, "\nthreshold\tbar\tgot\t")
	for _, v := range rep.Thresholds {
		met := "met"
		if !v.Met {
			met = "MISSED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Name, v.Bar, v.Got, met)
	}
	return w.Flush()
}
