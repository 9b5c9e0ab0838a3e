package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// report prints a table of the suites' stored results. passed is true if no run failed.
func report(w io.Writer, suites []suite, keep []*kept) (passed bool) {
	passed = true
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "package\tbinary\trounds\truns\tslowest\tin all\tfailed")
	fewest := -1
	for i, k := range keep {
		rounds := k.rounds(suites[i].cpus)
		if fewest < 0 || rounds < fewest {
			fewest = rounds
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%.1fs\t%v\t%d\n", k.Package, k.Digest, rounds, len(k.Runs), k.slowest(),
			time.Duration(k.seconds()*float64(time.Second)).Round(time.Second), len(k.failures()))
	}
	table.Flush()
	fmt.Fprintf(w, "every package has completed at least %d rounds with its current code\n", max(fewest, 0))
	for _, k := range keep {
		for _, r := range k.failures() {
			passed = false
			fmt.Fprintf(w, "FAIL %s -cpu %d at %s: %s\n     %s\n", k.Package, r.CPU, r.Began.Format(time.RFC3339), strings.Join(r.Failed, ", "), r.Output)
		}
	}
	return passed
}
