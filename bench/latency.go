package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// labelDirect is what goes to upstream without a proxy is reported under.
const labelDirect = "direct"

// direct is upstream without a proxy. What upstream spends is nobody's cost.
func (l *lab) direct() *proxy {
	return &proxy{process: l.server, label: labelDirect, client: execV4, target: l.target(l.upstream)}
}

// errand is something that a client does and waits for.
type errand func(context.Context) (time.Duration, error)

// addLatencies has the errands of all proxies, of which the first is direct, done n times: one at a time, and those of
// different proxies in turns, so that what slows the machine down for a moment hits them all alike.
func addLatencies(ctx context.Context, name string, proxies []*proxy, errands []errand, n int, add func(*proxy, []reading)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(errands))*turnTimeout)
	defer cancel()
	took := make([][]time.Duration, len(errands))
	for range n {
		for i, errand := range errands {
			t, err := errand(ctx)
			if err != nil {
				return proxies[i].failure(fmt.Errorf("%s, %s: %w", proxies[i].label, name, errors.Join(err, ctx.Err())))
			}
			took[i] = append(took[i], t)
		}
	}
	for i, p := range proxies {
		slices.Sort(took[i])
		if i == 0 {
			add(p, waited(name, took[i], nil))
			continue
		}
		add(p, waited(name, took[i], took[0]))
	}
	return nil
}

// waited is what sorted times say, and if they went through a proxy, how much more than alone, without one.
func waited(name string, took, alone []time.Duration) []reading {
	var all []reading
	for _, p := range []float64{50, 99} {
		unit := fmt.Sprintf("p%.0f us", p)
		at := microseconds(percentile(took, p))
		all = append(all, reading{measure{name, unit}, at})
		if alone != nil {
			all = append(all, reading{measure{name, "added " + unit}, at - microseconds(percentile(alone, p))})
		}
	}
	return all
}
