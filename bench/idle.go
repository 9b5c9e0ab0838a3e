package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// openers is how many sessions open at a time: more would measure the handshakes' garbage.
	openers = 8
	// warmSessions come and go before the baseline is read, so that code and pools are in memory.
	warmSessions = 8
)

// idleExperiment is run by a proxy that has done nothing else.
func idleExperiment(sessions int, settle time.Duration) experiment {
	empty := measure{Name: "idle process", Unit: "RSS MiB"}
	each := measure{Name: "idle session", Unit: "RSS KiB"}
	return experiment{each.Name, func(ctx context.Context, p *proxy) ([]reading, error) {
		if _, err := residentWith(ctx, p, warmSessions, 0); err != nil {
			return nil, err
		}
		if err := pause(ctx, settle); err != nil {
			return nil, err
		}
		before, err := p.residentKiB()
		if err != nil {
			return nil, err
		}
		after, err := residentWith(ctx, p, sessions, settle)
		if err != nil {
			return nil, err
		}
		return []reading{
			{empty, float64(before) / 1024},
			{each, float64(after-before) / float64(sessions)},
		}, nil
	}}
}

// residentWith is the proxy's resident memory, in KiB, after n sessions have been idle for settle. They
// are closed when it returns; one that ends by itself before is an error.
func residentWith(ctx context.Context, p *proxy, n int, settle time.Duration) (int64, error) {
	ctx, fail := context.WithCancelCause(ctx)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer fail(nil) // closes them
	hold := func(s *session) {
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
				sessions.Go(func() { hold(s) })
			}
		})
	}
	opening.Wait()
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	return p.residentKiB()
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
