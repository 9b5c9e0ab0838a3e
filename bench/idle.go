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
	// openers is the number of sessions that open at the same time. If more opened at one time, the
	// garbage of their handshakes would count as memory of the sessions.
	openers = 8
	// warmSessions is the number of sessions that are opened and closed before bench first reads
	// the proxy's memory. After them the proxy's code and buffer pools are in memory, and bench
	// does not count these as memory of the idle sessions.
	warmSessions = 8
	// idleKeystrokes is the number of keystrokes that bench sends in each idle session. They are
	// enough for edge to treat the session as busy. After that, the session is idle again.
	idleKeystrokes = 20
	// idleTimeout limits one run of the experiment with idle sessions. In one run thousands of
	// sessions open, each with two TLS handshakes.
	idleTimeout = 10 * time.Minute
	// holdEvery is the interval at which bench reads the proxy's memory while it holds idle
	// sessions.
	holdEvery = 30 * time.Second
)

// idleExperiment measures the memory of idle sessions in a new process. At first the sessions send
// and receive nothing. Then, like a user who types before a pause, each session sends
// idleKeystrokes bytes, which upstream echoes, and is idle again. If the parameter hold is not 0,
// bench then keeps the sessions open for this time and also measures how far memory grows.
func idleExperiment(sessions int, settle, hold time.Duration) experiment {
	return experiment{name: idleEach.Name, limit: idleTimeout + hold, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		before, err := p.residentWarm(ctx, settle, func() error {
			return withIdle(ctx, p, warmSessions, func(_ context.Context, warm []*session) error { return keystrokeEach(warm) })
		})
		if err != nil {
			return nil, err
		}
		var resident []int64 // resident memory of the proxy in KiB: before the keystrokes, after them, then at each interval of holdEvery
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

// residentWarm calls the function warm, which opens and closes sessions, waits for the duration
// settle, and returns the proxy's resident memory in KiB. If more sessions open later, their memory
// is what the proxy then has more than this.
func (p *proxy) residentWarm(ctx context.Context, settle time.Duration, warm func() error) (int64, error) {
	if err := warm(); err != nil {
		return 0, err
	}
	return p.residentAfter(ctx, settle)
}

// withIdle opens n sessions with a terminal that send and receive nothing, calls the function use
// with them, and closes them.
func withIdle(ctx context.Context, p *proxy, n int, use func(context.Context, []*session) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end() // closes all sessions that were opened
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

// keystrokeEach lets each session send idleKeystrokes bytes and wait for the echo of each byte. All
// sessions do this at the same time, because that takes the most memory. The sessions stay open.
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

// residentIdle reads the proxy's resident memory, in KiB, several times: first after the sessions
// have been silent for the duration settle, then after keystrokes and another wait of that
// duration, then at each interval of holdEvery for the duration hold. It returns an error if a
// session ends by itself.
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

// residentAfter waits for the given time and then returns the proxy's resident memory in KiB.
func (p *proxy) residentAfter(ctx context.Context, wait time.Duration) (int64, error) {
	if err := pause(ctx, wait); err != nil {
		return 0, err
	}
	return p.residentKiB()
}

// pause waits for the duration d. If ctx ends earlier, pause returns the cause of ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return context.Cause(ctx)
}
