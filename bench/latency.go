package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// labelDirect is the name in reports of requests that the client sends to the upstream server
// without a proxy.
const labelDirect = "direct"

// direct returns the upstream server itself as a proxy, for comparison: the client sends its
// requests to it without a proxy. Its CPU time is not measured.
func (l *lab) direct() *proxy {
	return &proxy{process: l.server, label: labelDirect, client: execV4, target: l.target(l.upstream)}
}

// errand is one action of a client whose duration bench measures, such as a request. It returns how
// long the client waited.
type errand func(context.Context) (time.Duration, error)

// addLatencies measures each proxy n times: it runs the proxy's errand (one action of a client) and
// records how long the client waited. The proxies take turns, so that a short disturbance of the
// machine affects all of them. The first proxy must be the upstream server itself (see the method
// direct). For each other proxy, addLatencies also computes how much longer the client waited than
// with the upstream server alone.
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

// waited returns percentiles of the sorted durations in the parameter took. If the parameter alone
// is not nil, it contains the sorted durations of the same requests without a proxy, and waited
// also returns by how much each percentile of took is greater than that of alone.
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
