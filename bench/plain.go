package main

import (
	"context"
	"io"
	"time"
)

const (
	// plainWorkers requests are under way at a time, in plainUsers connections, each of a user of its own.
	plainWorkers = 16
	plainUsers   = 4
	// quietShare of a turn's requests go one at a time, for their latency.
	quietShare = 5
	// warmRequests of each kind, or a turn's if those are fewer, go through a proxy before it is measured.
	warmRequests = 2_000
)

// plainRequest is what clients ask on the plain path.
type plainRequest struct {
	name, path string
	size       int // of the answer, in bytes
}

var plainRequests = []plainRequest{
	{"plain, " + versionPath, versionPath, len(version)},
	{"plain, LIST " + sizeName(len(list)&^(1<<10-1)), listPath, len(list)},
}

// plainPeers are those of the proxies that have a plain path. They speak HTTP/2 with the client.
func plainPeers(s settings) []peer {
	var all []peer
	for _, name := range s.Proxies {
		if p, _ := peerNamed(name); p.plain != nil {
			p.start = p.plain
			all = append(all, p)
		}
	}
	return all
}

// measurePlain gives each proxy its turns at each request: many at a time, for what they cost, and one at a
// time beside the same without a proxy, for what they wait.
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

// load is n requests, plainWorkers at a time.
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

// measureWait has n requests sent through each proxy, one at a time.
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
