package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

const (
	// startWorkers is the number of sessions that start at the same time while their CPU cost is
	// measured.
	startWorkers = 8
	// startsAlone determines how many sessions start one at a time in each round, to measure how
	// long the client waits: the setting Starts divided by startsAlone.
	startsAlone = 2
	// warmStarts limits how many sessions bench starts through a proxy before it measures the start
	// of sessions. If the setting Starts is less, bench starts that number.
	warmStarts = 50
)

// measureStarts measures the start of sessions. The proxies take turns. The sessions end as soon as
// they have begun, and the proxies carry no other traffic.
func measureStarts(ctx context.Context, l *lab, s settings, r *report, progress io.Writer) error {
	if s.Starts == 0 {
		return nil
	}
	proxies := []*proxy{l.direct()}
	for _, name := range s.Proxies {
		kind := peerNamed(name)
		p, err := l.startProxy(ctx, kind)
		if err != nil {
			return err
		}
		defer p.stop()
		if _, err := startsExperiment(min(warmStarts, s.Starts)).turn(ctx, p); err != nil {
			return err
		}
		proxies = append(proxies, p)
	}
	for round := range s.Rounds {
		add := func(p *proxy, readings []reading) {
			r.add(p.label, readings)
			printProgress(progress, round, s.Rounds, p.label, readings)
		}
		for _, p := range proxies[1:] {
			readings, err := startsExperiment(s.Starts).turn(ctx, p)
			if err != nil {
				return err
			}
			add(p, readings)
		}
		if err := measureFirstByte(ctx, proxies, max(1, s.Starts/startsAlone), add); err != nil {
			return err
		}
	}
	return nil
}

// measureFirstByte starts n sessions through each proxy, one at a time, and adds to the report how
// long each took until its first byte.
func measureFirstByte(ctx context.Context, proxies []*proxy, n int, add func(*proxy, []reading)) error {
	var errands []errand
	for _, p := range proxies {
		errands = append(errands, p.firstByte)
	}
	return addLatencies(ctx, "start, first byte", proxies, errands, n, add)
}

// firstByte opens a session with a command that writes one byte and ends. It returns the time from
// before the dial until that byte arrives. The session has ended when firstByte returns.
func (p *proxy) firstByte(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	s, err := p.open(ctx, work{command: []string{helloCommand}})
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	return took, s.finish()
}

func startsExperiment(n int) experiment {
	m := measure{Name: fmt.Sprintf("start, %d at a time", startWorkers), Unit: perCPU}
	return experiment{name: m.Name, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		cpu, err := p.cpuOf(func() error {
			return inParallel(ctx, n, startWorkers, func(ctx context.Context, _ int) error {
				_, err := p.firstByte(ctx)
				return err
			})
		})
		if err != nil {
			return nil, err
		}
		return []reading{{m, float64(n) / cpu.Seconds()}}, nil
	}}
}
