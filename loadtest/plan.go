package main

import "fmt"

// chosen chooses k of n items at even distances. It reports whether item i (counted from 0) is
// chosen.
func chosen(i, n, k int) bool { return (i+1)*k/n > i*k/n }

// planSessions returns the kind and the pace (size and rate of writes) of each session of a load
// test. The pace of an idle session is nil. Busy and bulk sessions are spread evenly over all kinds
// except watch, in proportion to --mix.
func planSessions(o *options) (kinds []*kind, paces []*pace, err error) {
	kinds = o.mix.spread(o.sessions)
	paces = make([]*pace, o.sessions)
	var echoes []int // indexes of all sessions except watches, sorted by kind
	for _, s := range o.mix {
		for i, k := range kinds {
			if k == s.kind && !k.isWatch() {
				echoes = append(echoes, i)
			}
		}
	}
	active := o.busy + o.bulk
	if active > len(echoes) {
		return nil, nil, fmt.Errorf("--busy and --bulk are %d together, but only %d of the sessions are an exec or a port-forward",
			active, len(echoes))
	}
	nth := 0
	for i, at := range echoes {
		if !chosen(i, len(echoes), active) {
			continue
		}
		paces[at] = &o.keystrokes
		if chosen(nth, active, o.bulk) {
			paces[at] = &o.bulks
		}
		nth++
	}
	return kinds, paces, nil
}
