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
	// openers is the number of sessions that open at the same time. With more of them, garbage of
	// the handshakes would be measured too.
	openers = 8
	// warmSessions is the number of sessions that are opened and closed before the baseline is
	// read, so that code and pools are in memory.
	warmSessions = 8
	// idleKeystrokes is the number of keystrokes of each session before it is idle again: enough
	// for edge to treat the session as busy.
	idleKeystrokes = 20
	// idleTimeout limits a turn. Thousands of sessions open in a turn, each with two TLS
	// handshakes.
	idleTimeout = 10 * time.Minute
	// holdEvery is the interval between two readings of memory while sessions are held.
	holdEvery = 30 * time.Second
)

// idleExperiment measures idle sessions in a new process. Its sessions are silent at first. Then
// each of them echoes idleKeystrokes bytes, as a real session has echoed some, and is silent again.
// If hold is not 0, the sessions are then held for hold, and the growth of memory is a further
// measure.
func idleExperiment(sessions int, settle, hold time.Duration) experiment {
	return experiment{name: idleEach.Name, limit: idleTimeout + hold, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		before, err := p.residentWarm(ctx, settle, func() error {
			return withIdle(ctx, p, warmSessions, func(_ context.Context, warm []*session) error { return keystrokeEach(warm) })
		})
		if err != nil {
			return nil, err
		}
		var resident []int64 // KiB: silent sessions, after the keystrokes, then every holdEvery
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

// residentWarm returns the proxy's resident memory in KiB after warm has opened and closed sessions
// and settle has passed. It is the baseline for the memory of further sessions.
func (p *proxy) residentWarm(ctx context.Context, settle time.Duration, warm func() error) (int64, error) {
	if err := warm(); err != nil {
		return 0, err
	}
	return p.residentAfter(ctx, settle)
}

// withIdle opens n sessions with a terminal that send and receive nothing, calls use, and closes
// the sessions.
func withIdle(ctx context.Context, p *proxy, n int, use func(context.Context, []*session) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end() // closes the sessions
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

// keystrokeEach lets each session echo idleKeystrokes bytes, one at a time, and all sessions at
// once, which takes the most memory. The sessions stay open.
func keystrokeEach(sessions []*session) error {
	var all errgroup.Group
	for _, s := range sessions {
		all.Go(func() error {
			s.sending(1)
			for range idleKeystrokes {
				if err := errors.Join(s.send(), s.receive(1)); err != nil {
					return fmt.Errorf("bench: keystroke in an idle session: %w", err)
				}
			}
			return nil
		})
	}
	return all.Wait()
}

// residentIdle returns the proxy's resident memory in KiB: first after the sessions have been
// silent for settle, then after keystrokes and another settle, then every holdEvery for hold. It
// returns an error if a session ends by itself.
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
		guards.Go(func() { fail(fmt.Errorf("bench: idle session ended: %w", s.hold())) })
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

// residentAfter waits and then returns the proxy's resident memory in KiB.
func (p *proxy) residentAfter(ctx context.Context, wait time.Duration) (int64, error) {
	if err := pause(ctx, wait); err != nil {
		return 0, err
	}
	return p.residentKiB()
}

// pause waits for d or until ctx ends. It returns the cause of ctx, or nil.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return context.Cause(ctx)
}
