package main

import (
	"context"
	"io"
	"time"
)

const (
	// plainWorkers is the number of requests on the plain path (without an upgrade) that bench
	// sends at the same time. They use plainUsers connections; each connection has the token of a
	// different user.
	plainWorkers = 16
	plainUsers   = 4
	// quietShare determines how many requests bench sends one at a time in each round, to measure
	// latency: the setting Requests divided by quietShare.
	quietShare = 5
	// warmRequests limits how many requests of each kind bench sends through a proxy before it
	// measures the proxy. If the setting Requests is less, bench sends that number.
	warmRequests = 2_000
)

// plainRequest is a kind of request on the plain path (without an upgrade), such as a LIST.
type plainRequest struct {
	name, path string
	size       int // size of the response body, in bytes
}

var plainRequests = []plainRequest{
	{"plain, " + versionPath, versionPath, len(version)},
	{"plain, LIST " + sizeName(len(list)&^(1<<10-1)), listPath, len(list)},
}

// plainPeers returns the kinds of proxies that serve requests without an upgrade, with the function
// that starts them for such requests. Clients use HTTP/2 with these proxies.
func plainPeers(s settings) []peer {
	var all []peer
	for _, name := range s.Proxies {
		if p := peerNamed(name); p.plain != nil {
			p.start = p.plain
			all = append(all, p)
		}
	}
	return all
}

// measurePlain measures each kind of request without an upgrade. The proxies take turns. For the
// CPU cost, bench sends plainWorkers requests at a time. For the latency, it sends one request at a
// time, and the same requests without a proxy for comparison.
func measurePlain(ctx context.Context, l *lab, s settings, r *report, progress io.Writer) error {
	if s.Requests == 0 {
		return nil
	}
	tokens, err := l.issuer.tokens(plainUsers)
	if err != nil {
		return err
	}
	var proxies []*proxy
	for _, kind := range plainPeers(s) {
		p, err := l.startProxy(ctx, kind)
		if err != nil {
			return err
		}
		defer p.stop()
		for _, request := range plainRequests {
			if _, err := request.load(min(warmRequests, s.Requests), tokens).turn(ctx, p); err != nil {
				return err
			}
		}
		proxies = append(proxies, p)
	}
	for round := range s.Rounds {
		add := func(p *proxy, readings []reading) {
			r.add(p.label, readings)
			printProgress(progress, round, s.Rounds, p.label, readings)
		}
		for _, request := range plainRequests {
			for _, p := range proxies {
				readings, err := request.load(s.Requests, tokens).turn(ctx, p)
				if err != nil {
					return err
				}
				add(p, readings)
			}
			lanes := append([]*proxy{l.direct()}, proxies...)
			if err := request.measureWait(ctx, lanes, max(1, s.Requests/quietShare), tokens, add); err != nil {
				return err
			}
		}
	}
	return nil
}

// load returns the experiment that sends n requests of kind q, plainWorkers at a time, and measures
// the CPU cost.
func (q plainRequest) load(n int, tokens []string) experiment {
	m := measure{Name: q.name, Unit: perCPU}
	return experiment{name: q.name, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		clients, closeAll, err := plainClients(ctx, p.target, tokens)
		if err != nil {
			return nil, err
		}
		defer closeAll()
		cpu, err := p.cpuOf(func() error {
			return inParallel(ctx, n, plainWorkers, func(ctx context.Context, i int) error {
				return clients[i%len(clients)].get(ctx, q.path, q.size)
			})
		})
		if err != nil {
			return nil, err
		}
		return []reading{{m, float64(n) / cpu.Seconds()}}, nil
	}}
}

// measureWait sends n requests of kind q through each proxy, one at a time, and adds their
// latencies to the report.
func (q plainRequest) measureWait(ctx context.Context, proxies []*proxy, n int, tokens []string, add func(*proxy, []reading)) error {
	var errands []errand
	for _, p := range proxies {
		clients, closeAll, err := plainClients(ctx, p.target, tokens[:1])
		if err != nil {
			return p.failure(err)
		}
		defer closeAll()
		errands = append(errands, func(ctx context.Context) (time.Duration, error) {
			start := time.Now()
			err := clients[0].get(ctx, q.path, q.size)
			return time.Since(start), err
		})
	}
	return addLatencies(ctx, q.name, proxies, errands, n, add)
}
