package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// openers is how many sessions open at a time: more would measure the handshakes' garbage.
	openers = 8
	// warmSessions come and go before the baseline is read, so that code and pools are in memory.
	warmSessions = 8
	// idleKeystrokes are what each says before it is silent: enough for edge to take it for busy.
	idleKeystrokes = 20
	// idleTimeout ends a turn that hangs: each of thousands of sessions is two TLS handshakes.
	idleTimeout = 10 * time.Minute
	// holdEvery is the pause between two readings of sessions that are held.
	holdEvery = 30 * time.Second
)

// idleExperiment is run by a proxy that has done nothing else. Its sessions are silent from the start, then after one
// keystroke each, as every real one has had, and are then held, which yields a measure of its own, unless hold is 0.
func idleExperiment(sessions int, settle, hold time.Duration) experiment {
	return experiment{name: idleEach.Name, limit: idleTimeout + hold, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		before, err := p.residentWarm(ctx, settle, func() error {
			return withIdle(ctx, p, warmSessions, func(_ context.Context, warm []*session) error { return keystrokeEach(warm) })
		})
		if err != nil {
			return nil, err
		}
		var resident []int64 // silent, after a keystroke, and held
		err = withIdle(ctx, p, sessions, func(ctx context.Context, idle []*session) (err error) {
			resident, err = residentIdle(ctx, p, idle, settle, hold)
			return err
		})
		if err != nil {
			return nil, err
		}
		spoken := resident[1]
		readings := []reading{
			{idleEmpty, float64(before) / 1024},
			{idleEach, float64(resident[0]-before) / float64(sessions)},
			{idleSpoken, float64(spoken-before) / float64(sessions)},
		}
		if hold > 0 {
			readings = append(readings, reading{idleGrowth, 100 * float64(slices.Max(resident[1:])-spoken) / float64(spoken)})
		}
		return readings, nil
	}}
}

// residentWarm is the proxy's resident memory, in KiB, when warm has come and gone and settle has passed: what is
// then held for one more counts from here.
func (p *proxy) residentWarm(ctx context.Context, settle time.Duration, warm func() error) (int64, error) {
	if err := warm(); err != nil {
		return 0, err
	}
	return p.residentAfter(ctx, settle)
}

// withIdle opens n sessions, with a terminal, in which nothing happens, and closes them after use.
func withIdle(ctx context.Context, p *proxy, n int, use func(context.Context, []*session) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end() // closes them
	idle := make([]*session, n)
	err := inParallel(ctx, n, openers, func(_ context.Context, i int) (err error) {
		if idle[i], err = p.open(ctx, work{command: []string{"echo"}, tty: true}); err != nil {
			return err
		}
		return idle[i].begin()
	})
	defer func() {
		for _, s := range idle {
			if s != nil {
				s.close()
			}
		}
	}()
	if err != nil {
		return err
	}
	return use(ctx, idle)
}

// keystrokeEach has each session echo one byte, all at once, which takes the most memory. All that were open still are.
func keystrokeEach(sessions []*session) error {
	var all errgroup.Group
	for _, s := range sessions {
		all.Go(func() error {
			s.sending(1)
			for range idleKeystrokes {
				if err := errors.Join(s.send(), s.receive(1)); err != nil {
					return fmt.Errorf("bench: a keystroke of an idle session: %w", err)
				}
			}
			return nil
		})
	}
	return all.Wait()
}

// residentIdle is the proxy's resident memory, in KiB, after the sessions have been silent for settle, after that again
// when each had a keystroke, and then every holdEvery for as long as hold. One that ends by itself is an error.
func residentIdle(ctx context.Context, p *proxy, idle []*session, settle, hold time.Duration) ([]int64, error) {
	first, err := p.residentAfter(ctx, settle)
	if err != nil {
		return nil, err
	}
	if err := keystrokeEach(idle); err != nil {
		return nil, err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var guards sync.WaitGroup
	defer guards.Wait()
	defer func() {
		for _, s := range idle {
			s.close()
		}
	}()
	for _, s := range idle {
		guards.Go(func() { fail(fmt.Errorf("bench: an idle session ended: %w", s.hold())) })
	}
	readings := []int64{first}
	waits := []time.Duration{settle}
	for ; hold > 0; hold -= holdEvery {
		waits = append(waits, min(holdEvery, hold))
	}
	for _, wait := range waits {
		resident, err := p.residentAfter(ctx, wait)
		if err != nil {
			return nil, err
		}
		readings = append(readings, resident)
	}
	return readings, nil
}

// residentAfter is the proxy's resident memory, in KiB, when wait has passed.
func (p *proxy) residentAfter(ctx context.Context, wait time.Duration) (int64, error) {
	if err := pause(ctx, wait); err != nil {
		return 0, err
	}
	return p.residentKiB()
}

// pause waits for d, or for the end of ctx, whose cause it returns.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return context.Cause(ctx)
}
