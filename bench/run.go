package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// warmVolume limits how many bytes bench sends through a proxy in each direction before it measures
// streams. They fill the proxy's buffer pools.
const warmVolume = 16 << 20

// measureAll measures every part that the settings select, and ends all processes before it
// returns. If a part fails, the report contains the figures of the parts that were measured before
// it. The report is nil if there are none.
func measureAll(ctx context.Context, s settings, progress io.Writer) (*report, error) {
	l, err := openLab(ctx, s)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if s.needsProxies() {
		if err := l.findPrograms(ctx, s.Proxies, progress); err != nil {
			return nil, err
		}
	}
	r := &report{Started: time.Now(), Machine: describeMachine(), Settings: s}
	for _, measure := range parts {
		if err = measure(ctx, l, s, r, progress); err != nil {
			r.CutShort = true
			break
		}
	}
	if len(r.Measures)+len(r.Pairs) == 0 {
		return nil, err
	}
	r.finish(time.Now())
	return r, err
}

// parts are the functions that measure the parts of the report, in their order. The pairs (client
// dialect and upstream protocol) come first, so that bench fails early if edge does not support one
// of them.
var parts = []func(context.Context, *lab, settings, *report, io.Writer) error{
	measurePairs,
	measureCPU,
	measurePlain,
	measureStarts,
	measureIdle,
	measureWatches,
}

func measureCPU(ctx context.Context, l *lab, s settings, r *report, progress io.Writer) error {
	experiments := cpuExperiments(s)
	if len(experiments) == 0 {
		return nil
	}
	var proxies []*proxy
	for _, name := range s.Proxies {
		kind := peerNamed(name)
		p, err := l.startProxy(ctx, kind)
		if err != nil {
			return err
		}
		defer p.stop()
		if err := p.warm(ctx, s); err != nil {
			return err
		}
		proxies = append(proxies, p)
	}
	for round := range s.Rounds {
		for _, e := range experiments {
			for _, p := range proxies {
				readings, err := e.turn(ctx, p)
				if err != nil {
					return err
				}
				r.add(p.label, readings)
				printProgress(progress, round, s.Rounds, p.label, readings)
			}
		}
	}
	return nil
}

func (p *proxy) warm(ctx context.Context, s settings) error {
	volume := min(warmVolume, s.transferSize(maxWrite))
	for _, e := range []experiment{downExperiment(volume, maxWrite), upExperiment(volume, maxWrite)} {
		if _, err := e.turn(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func measureIdle(ctx context.Context, l *lab, s settings, r *report, progress io.Writer) error {
	for round := range s.IdleRounds {
		for _, name := range s.Proxies {
			kind := peerNamed(name)
			p, err := l.startProxy(ctx, kind)
			if err != nil {
				return err
			}
			hold := time.Duration(0)
			if name == "edge" && round == s.IdleRounds-1 {
				hold = s.IdleHold
			}
			readings, err := idleExperiment(kind.idleSessions(s), s.Settle, hold).turn(ctx, p)
			p.stop()
			if err != nil {
				return err
			}
			r.add(p.label, readings)
			printProgress(progress, round, s.IdleRounds, p.label, readings)
		}
	}
	return nil
}

func printProgress(w io.Writer, round, rounds int, proxy string, readings []reading) {
	fmt.Fprintf(w, "%s round %d/%d: %s", time.Now().Format(time.TimeOnly), round+1, rounds, proxy)
	for _, reading := range readings {
		fmt.Fprintf(w, ", %s %s %s", reading.Name, digits(reading.value), reading.Unit)
	}
	fmt.Fprintln(w)
}
