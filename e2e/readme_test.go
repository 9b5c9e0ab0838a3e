package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The README's compatibility table is between these lines, and is what the tests found.
const (
	readmeBegin = "<!-- compatibility: from the end-to-end tests, which fail if it differs -->\n"
	readmeEnd   = "<!-- end of compatibility -->\n"
)

// checkReadme holds the README's table against this run's rows. An incomplete run, of chosen tests, proves nothing.
func (r *results) checkReadme(file string, complete int) error {
	if len(r.rows) < complete {
		return nil
	}
	b, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		return err
	}
	_, rest, ok := strings.Cut(string(b), readmeBegin)
	shown, _, ok2 := strings.Cut(rest, readmeEnd)
	if !ok || !ok2 {
		return errors.New("README.md: the compatibility table's marks are missing")
	}
	if want := r.summary(); shown != want {
		return fmt.Errorf("README.md: the compatibility table is not what this run found; put this between its marks:\n%s", want)
	}
	return nil
}

// summary is one line for each client and path, and one column for each verb. A cell speaks for all clusters.
func (r *results) summary() string {
	var clusters, lines, verbs []string
	cell := map[string]string{}
	for _, row := range r.rows {
		line := row.Client + " | " + row.Path
		clusters, lines, verbs = add(clusters, row.Cluster), add(lines, line), add(verbs, shortVerb(row.Verb))
		key := line + "|" + shortVerb(row.Verb)
		mark := "**fails**"
		switch row.Result {
		case resultOK:
			mark = "yes"
		case resultExplained:
			mark = "told why not"
		}
		if was, ok := cell[key]; ok && was != mark {
			mark = "**differs**"
		}
		cell[key] = mark
	}
	slices.Sort(lines)
	slices.Sort(clusters)
	var b strings.Builder
	fmt.Fprintf(&b, "| client | path | %s |\n|%s\n", strings.Join(verbs, " | "), strings.Repeat("---|", 2+len(verbs)))
	for _, line := range lines {
		fmt.Fprintf(&b, "| %s |", line)
		for _, verb := range verbs {
			mark, ok := cell[line+"|"+verb]
			if !ok {
				mark = ""
			}
			fmt.Fprintf(&b, " %s |", mark)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nEach cell on both clusters: %s.\n", strings.Join(clusters, ", "))
	return b.String()
}

func add(list []string, item string) []string {
	if slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}

// shortVerb is the part of a verb's name before its details.
func shortVerb(verb string) string {
	name, _, _ := strings.Cut(verb, ",")
	name, _, _ = strings.Cut(name, " 100")
	return name
}
