package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// mix is the parsed --mix: the weight of each kind of session among all sessions.
type mix []share

type share struct {
	kind   *kind
	weight int
}

// maxWeight limits the weight of one kind of session in --mix.
const maxWeight = 1_000_000

// parseMix parses a --mix, for example "exec=60,port-forward=20,watch=20". A kind without a weight
// has weight 1.
func parseMix(text string) (mix, error) {
	var m mix
	for part := range strings.SplitSeq(text, ",") {
		name, number, weighed := strings.Cut(strings.TrimSpace(part), "=")
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--mix: unknown kind of session %q; use one of %s", name, kindNames())
		}
		if slices.ContainsFunc(m, func(s share) bool { return s.kind == &kinds[i] }) {
			return nil, fmt.Errorf("--mix: %s is given twice", name)
		}
		weight := 1
		if weighed {
			var err error
			if weight, err = strconv.Atoi(number); err != nil || weight < 1 || weight > maxWeight {
				return nil, fmt.Errorf("--mix: the weight of %s is %q; use a number from 1 to %d", name, number, maxWeight)
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

// spread returns the kinds of n sessions, in the order in which the sessions open. In each part of
// this list, the kinds have about the weights of m.
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
