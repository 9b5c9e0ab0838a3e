package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// mix says how many parts of all sessions each kind has.
type mix []share

type share struct {
	kind   *kind
	weight int
}

// maxWeight bounds one weight.
const maxWeight = 1_000_000

// parseMix reads "exec=60,port-forward=20,watch=20". A kind without a weight has one of 1.
func parseMix(text string) (mix, error) {
	var m mix
	for part := range strings.SplitSeq(text, ",") {
		name, number, weighed := strings.Cut(strings.TrimSpace(part), "=")
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--mix: no kind of session is called %q; there are %s", name, kindNames())
		}
		if slices.ContainsFunc(m, func(s share) bool { return s.kind == &kinds[i] }) {
			return nil, fmt.Errorf("--mix: %s is there twice", name)
		}
		weight := 1
		if weighed {
			var err error
			if weight, err = strconv.Atoi(number); err != nil || weight < 1 || weight > maxWeight {
				return nil, fmt.Errorf("--mix: the weight of %s is %q, use a number from 1 to %d", name, number, maxWeight)
			}
		}
		m = append(m, share{&kinds[i], weight})
	}
	return m, nil
}

func kindNames() string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return strings.Join(names, ", ")
}

// spread gives each of n sessions its kind, in an order in which every stretch has about the mix of the whole.
func (m mix) spread(n int) []*kind {
	total := 0
	for _, s := range m {
		total += s.weight
	}
	credit := make([]int, len(m))
	all := make([]*kind, n)
	for i := range all {
		best := 0
		for j, s := range m {
			credit[j] += s.weight
			if credit[j] > credit[best] {
				best = j
			}
		}
		credit[best] -= total
		all[i] = m[best].kind
	}
	return all
}
