package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

const (
	// turnTimeout is the timeout of a turn (one proxy runs one experiment once), unless the
	// experiment has a limit of its own.
	turnTimeout = 3 * time.Minute
	// warmKeystrokes limits the number of keystrokes (round trips of one byte) that a session sends
	// before the measured ones. If fewer keystrokes are measured, the session sends as many before
	// them as are measured.
	warmKeystrokes = 500
	gigabyte       = 1e9
)

// experiment is a measurement that one proxy runs once in each round. run returns one reading (a
// value) for each measure of the experiment.
type experiment struct {
	name  string
	run   func(context.Context, *proxy) ([]reading, error)
	limit time.Duration // timeout of one run of the experiment; 0: turnTimeout
}

// cpuExperiments returns the experiments on streams (down, up, keystrokes). They use proxies that
// run during the whole measurement.
func cpuExperiments(s settings) []experiment {
	var all []experiment
	for _, size := range s.Down {
		all = append(all, downExperiment(s.transferSize(size), size))
	}
	for _, size := range s.Up {
		all = append(all, upExperiment(s.transferSize(size), size))
	}
	if s.Keystrokes > 0 {
		all = append(all, keystrokeExperiment(s.Keystrokes))
	}
	return all
}

// turn runs the experiment once on one proxy, within its time limit. An error includes the last
// output of the proxy.
func (e experiment) turn(ctx context.Context, p *proxy) ([]reading, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(e.limit, turnTimeout))
	defer cancel()
	readings, err := e.run(ctx, p)
	if err != nil {
		return nil, p.failure(fmt.Errorf("%s, %s: %w", p.label, e.name, errors.Join(err, ctx.Err())))
	}
	return readings, nil
}

func downExperiment(volume int64, size int) experiment {
	m := transferMeasure("down", size)
	return experiment{name: m.Name, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		s, err := p.open(ctx, work{command: []string{"download", strconv.FormatInt(volume, 10), strconv.Itoa(size)}})
		if err != nil {
			return nil, err
		}
		defer s.close()
		cpu, err := p.cpuOf(func() error {
			if err := s.begin(); err != nil {
				return err
			}
			return s.receive(volume)
		})
		if err != nil {
			return nil, err
		}
		return []reading{{m, cpu.Seconds() / (float64(volume) / gigabyte)}}, s.finish()
	}}
}

func upExperiment(volume int64, size int) experiment {
	m := transferMeasure("up", size)
	return experiment{name: m.Name, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		s, err := p.open(ctx, work{command: []string{"upload", strconv.FormatInt(volume, 10)}})
		if err != nil {
			return nil, err
		}
		defer s.close()
		s.sending(size)
		cpu, err := p.cpuOf(func() error {
			if err := s.begin(); err != nil {
				return err
			}
			for range volume / int64(size) {
				if err := s.send(); err != nil {
					return err
				}
			}
			return s.receive(1)
		})
		if err != nil {
			return nil, err
		}
		return []reading{{m, cpu.Seconds() / (float64(volume) / gigabyte)}}, s.finish()
	}}
}

// keystrokeExperiment returns an experiment that sends single bytes and waits for each echo before
// it sends the next byte, so that no proxy can combine them.
func keystrokeExperiment(count int) experiment {
	return experiment{name: keystrokeCPU.Name, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		s, err := p.open(ctx, work{command: []string{"echo"}, tty: true})
		if err != nil {
			return nil, err
		}
		defer s.close()
		if err := s.begin(); err != nil {
			return nil, err
		}
		s.sending(1)
		roundTrip := func() error {
			if err := s.send(); err != nil {
				return err
			}
			return s.receive(1)
		}
		for range min(warmKeystrokes, count) {
			if err := roundTrip(); err != nil {
				return nil, err
			}
		}
		took := make([]time.Duration, count)
		cpu, err := p.cpuOf(func() error {
			for i := range took {
				start := time.Now()
				if err := roundTrip(); err != nil {
					return err
				}
				took[i] = time.Since(start)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		slices.Sort(took)
		return []reading{
			{keystrokeCPU, microseconds(cpu) / float64(count)},
			{keystrokeP50, microseconds(percentile(took, 50))},
			{keystrokeP99, microseconds(percentile(took, 99))},
		}, nil
	}}
}

// cpuOf calls the function work and returns the CPU time that the proxy spent during the call.
func (p *proxy) cpuOf(work func() error) (time.Duration, error) {
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	if err != nil {
		return 0, err
	}
	return after - before, nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
