package main

import (
	"context"
	"io"
	"slices"
	"time"
)

const (
	// plainWorkers requests are under way at a time, in plainUsers connections, each of a user of its own.
	plainWorkers = 16
	plainUsers   = 4
	// quietShare of a turn's requests go one at a time, for their latency.
	quietShare = 5
	// warmRequests of each kind go through a proxy before it is measured.
	warmRequests = 2_000
)

// plainRequest is what clients ask on the plain path.
type plainRequest struct {
	name, path string
	size       int // of the answer, in bytes
}

var plainRequests = []plainRequest{
	{"GET " + versionPath, versionPath, len(version)},
	{"LIST " + sizeName(len(list)&^(1<<10-1)), listPath, len(list)},
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
			if _, err := request.load(warmRequests, tokens).turn(ctx, p); err != nil {
				return err
			}
		}
		proxies = append(proxies, p)
	}
	for round := range s.Rounds {
		for _, request := range plainRequests {
			add := func(p *proxy, readings []reading) {
				r.add(p.label, readings)
				printProgress(progress, round, s.Rounds, p.label, readings)
			}
			load, wait := request.load(s.Requests, tokens), request.wait(max(1, s.Requests/quietShare), tokens[0])
			for _, p := range proxies {
				readings, err := load.turn(ctx, p)
				if err != nil {
					return err
				}
				add(p, readings)
			}
			direct := l.direct()
			alone, err := wait.turn(ctx, direct)
			if err != nil {
				return err
			}
			add(direct, alone)
			for _, p := range proxies {
				readings, err := wait.turn(ctx, p)
				if err != nil {
					return err
				}
				add(p, added(readings, alone))
			}
		}
	}
	return nil
}

// load is n requests, plainWorkers at a time.
func (q plainRequest) load(n int, tokens []string) experiment {
	m := measure{Name: q.name, Unit: "per CPU s"}
	return experiment{q.name, func(ctx context.Context, p *proxy) ([]reading, error) {
		clients, closeAll, err := plainClients(ctx, p.target, tokens)
		if err != nil {
			return nil, err
		}
		defer closeAll()
		cpu, err := p.cpuOf(func() error {
			return inParallel(ctx, n, plainWorkers, func(ctx context.Context, worker int) error {
				return clients[worker%len(clients)].get(ctx, q.path, q.size)
			})
		})
		if err != nil {
			return nil, err
		}
		return []reading{{m, float64(n) / cpu.Seconds()}}, nil
	}}
}

// wait is n requests, one at a time.
func (q plainRequest) wait(n int, token string) experiment {
	return experiment{q.name + ", one at a time", func(ctx context.Context, p *proxy) ([]reading, error) {
		clients, closeAll, err := plainClients(ctx, p.target, []string{token})
		if err != nil {
			return nil, err
		}
		defer closeAll()
		took := make([]time.Duration, n)
		for i := range took {
			start := time.Now()
			if err := clients[0].get(ctx, q.path, q.size); err != nil {
				return nil, err
			}
			took[i] = time.Since(start)
		}
		slices.Sort(took)
		return []reading{
			{measure{q.name, "p50 us"}, microseconds(percentile(took, 50))},
			{measure{q.name, "p99 us"}, microseconds(percentile(took, 99))},
		}, nil
	}}
}

// added is what readings are above those of the same work without a proxy.
func added(readings, alone []reading) []reading {
	all := make([]reading, len(readings))
	for i, reading := range readings {
		reading.Unit = "added " + reading.Unit
		reading.value -= alone[i].value
		all[i] = reading
	}
	return all
}

// direct is upstream without a proxy. What upstream spends is nobody's cost.
func (l *lab) direct() *proxy {
	return &proxy{process: l.server, label: "direct", client: execV4, target: l.target(l.upstream)}
}
