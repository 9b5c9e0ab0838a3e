package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// openers is how many sessions open at a time: more would measure the handshakes' garbage.
	openers = 8
	// warmSessions come and go before the baseline is read, so that code and pools are in memory.
	warmSessions = 8
	// idleTimeout ends a turn that hangs: each of thousands of sessions is two TLS handshakes.
	idleTimeout = 10 * time.Minute
	// holdEvery is the pause between two readings of sessions that are held.
	holdEvery = 30 * time.Second
)

// idleExperiment is run by a proxy that has done nothing else. Its sessions are held, which yields a measure of its
// own, unless hold is 0.
func idleExperiment(sessions int, settle, hold time.Duration) experiment {
	return experiment{name: idleEach.Name, limit: idleTimeout + hold, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		before, err := p.residentWarm(ctx, settle, func() error {
			_, err := residentWith(ctx, p, warmSessions, 0, 0)
			return err
		})
		if err != nil {
			return nil, err
		}
		after, err := residentWith(ctx, p, sessions, settle, hold)
		if err != nil {
			return nil, err
		}
		readings := []reading{
			{idleEmpty, float64(before) / 1024},
			{idleEach, float64(after[0]-before) / float64(sessions)},
		}
		if hold > 0 {
			readings = append(readings, reading{idleGrowth, 100 * float64(slices.Max(after)-after[0]) / float64(after[0])})
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
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	return p.residentKiB()
}

// residentWith is the proxy's resident memory, in KiB, after n sessions have been idle for settle, and then every
// holdEvery for as long as hold. They are closed when it returns; one that ends by itself before is an error.
func residentWith(ctx context.Context, p *proxy, n int, settle, hold time.Duration) ([]int64, error) {
	ctx, fail := context.WithCancelCause(ctx)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer fail(nil) // closes them
	guard := func(s *session) {
		fail(fmt.Errorf("bench: an idle session ended: %w", s.hold()))
		s.close()
	}
	turns := make(chan struct{}, n)
	for range n {
		turns <- struct{}{}
	}
	close(turns)
	var opening sync.WaitGroup
	for range openers {
		opening.Go(func() {
			for range turns {
				s, err := p.openIdle(ctx)
				if err != nil {
					fail(err)
					return
				}
				sessions.Go(func() { guard(s) })
			}
		})
	}
	opening.Wait()
	var readings []int64
	waits := []time.Duration{settle}
	for ; hold > 0; hold -= holdEvery {
		waits = append(waits, min(holdEvery, hold))
	}
	for _, wait := range waits {
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
		resident, err := p.residentKiB()
		if err != nil {
			return nil, err
		}
		readings = append(readings, resident)
	}
	return readings, nil
}

// openIdle opens a session, with a terminal, in which nothing happens.
func (p *proxy) openIdle(ctx context.Context) (*session, error) {
	s, err := p.open(ctx, work{command: []string{"idle"}, tty: true})
	if err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// pause waits for d, or for the end of ctx, whose cause it returns.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return context.Cause(ctx)
}
