package main

import "fmt"

// chosen tells whether the i-th of n, from 0, is one of the k that are taken at even distances.
func chosen(i, n, k int) bool { return (i+1)*k/n > i*k/n }

// planSessions says what each session of a run will be. paces has nil for one that is idle. Busy ones are of all kinds, in the
// mix of the whole.
func planSessions(o *options) (kinds []*kind, paces []*pace, err error) {
	kinds = o.mix.spread(o.sessions)
	paces = make([]*pace, o.sessions)
	var echoes []int // by kind
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
