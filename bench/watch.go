package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// watchesPerConn is the number of watches that bench opens on one HTTP/2 connection. All
	// proxies allow that many streams on a connection: nginx 128, net/http 250.
	watchesPerConn = 100
	// warmWatches is the number of watches that bench opens and closes before it first reads the
	// proxy's memory.
	warmWatches = 200
)

// measureWatches measures the memory of idle watches on each proxy that serves requests without an
// upgrade. The proxies take turns, and each measurement uses a new process.
func measureWatches(ctx context.Context, l *lab, s settings, r *report, progress io.Writer) error {
	if s.WatchRounds == 0 {
		return nil
	}
	tokens, err := l.issuer.tokens(plainUsers)
	if err != nil {
		return err
	}
	e := watchExperiment(s.Watches, s.Settle, tokens)
	for round := range s.WatchRounds {
		for _, kind := range plainPeers(s) {
			p, err := l.startProxy(ctx, kind)
			if err != nil {
				return err
			}
			readings, err := e.turn(ctx, p)
			p.stop()
			if err != nil {
				return err
			}
			r.add(p.label, readings)
			printProgress(progress, round, s.WatchRounds, p.label, readings)
		}
	}
	return nil
}

// watchExperiment returns an experiment that measures the memory of n idle watches in a new
// process.
func watchExperiment(n int, settle time.Duration, tokens []string) experiment {
	return experiment{name: idleWatch.Name, limit: idleTimeout, run: func(ctx context.Context, p *proxy) ([]reading, error) {
		before, err := p.residentWarm(ctx, settle, func() error {
			_, err := residentWatching(ctx, p, warmWatches, 0, tokens)
			return err
		})
		if err != nil {
			return nil, err
		}
		after, err := residentWatching(ctx, p, n, settle, tokens)
		if err != nil {
			return nil, err
		}
		return []reading{{idleWatch, float64(after-before) / float64(n)}}, nil
	}}
}

// residentWatching opens n watches, waits for the duration settle, and returns the proxy's resident
// memory in KiB. Then it closes the watches. If a watch ends before residentWatching closes it,
// residentWatching returns an error.
func residentWatching(ctx context.Context, p *proxy, n int, settle time.Duration, tokens []string) (int64, error) {
	users := make([]string, (n+watchesPerConn-1)/watchesPerConn)
	for i := range users {
		users[i] = tokens[i%len(tokens)]
	}
	clients, closeAll, err := plainClients(ctx, p.target, users)
	if err != nil {
		return 0, err
	}
	ctx, fail := context.WithCancelCause(ctx)
	var watches sync.WaitGroup
	defer closeAll()
	defer watches.Wait()
	defer fail(nil) // ends all watches
	err = inParallel(ctx, n, openers, func(_ context.Context, i int) error {
		body, err := clients[i/watchesPerConn].watch(ctx)
		if err != nil {
			return err
		}
		watches.Go(func() {
			defer body.Close()
			_, err := body.Read(make([]byte, 1))
			fail(errors.Join(errWatch, err))
		})
		return nil
	})
	if cause := context.Cause(ctx); cause != nil {
		// A watch that ended has cancelled ctx, and so the requests that are opening other watches.
		// Return the reason of the first end, not the error of a cancelled request.
		return 0, cause
	}
	if err != nil {
		return 0, err
	}
	return p.residentAfter(ctx, settle)
}

// watch opens a watch and reads its first event. The upstream server sends no other event.
func (c *plainClient) watch(ctx context.Context) (io.ReadCloser, error) {
	body, err := c.open(ctx, watchPath)
	if err != nil {
		return nil, err
	}
	event := make([]byte, len(watchEvent))
	n, err := io.ReadFull(body, event)
	if !bytes.Equal(event, watchEvent) {
		_ = body.Close()
		return nil, errors.Join(fmt.Errorf("bench: unexpected first event of a watch: %q", event[:n]), err)
	}
	return body, nil
}
