package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// openers is how many sessions are being opened at a time.
	openers = 64
	// enders is how many are being ended at a time.
	enders = 64
	// giveUpAfter is how many opens may fail before one succeeds: then nothing will.
	giveUpAfter = 20
	// holdLook is how often it is asked whether a session is left.
	holdLook = time.Second
	// endSlack is how much longer than planned a watch is asked for.
	endSlack = 10 * time.Minute
)

// run is one load test.
type run struct {
	options  *options
	endpoint *endpoint
	tally    *tally
	kinds    []*kind // of each session
	paces    []*pace // of each session; nil: it is idle
	watchdog watchdog
	phase    atomic.Int32

	writing  chan struct{} // closed when busy sessions shall stop
	writers  sync.WaitGroup
	watches  sync.WaitGroup
	mu       sync.Mutex
	sessions []*session // that were opened
}

func newRun(o *options, e *endpoint) (*run, error) {
	kinds, paces, err := planSessions(o)
	if err != nil {
		return nil, err
	}
	return &run{
		options: o, endpoint: e, tally: newTally(kinds), kinds: kinds, paces: paces,
		watchdog: watchdog{timeout: o.timeout}, writing: make(chan struct{}),
	}, nil
}

// load opens all sessions, holds them and ends them. The end of ctx makes it end early, in order, with ctx's error.
func (r *run) load(ctx context.Context) error {
	watching, endWatches := context.WithCancel(context.Background())
	stop := make(chan struct{})
	var dog sync.WaitGroup
	dog.Go(func() { r.watchdog.run(stop) })

	err := r.ramp(ctx, watching)
	if err == nil {
		r.phase.Store(int32(holding))
		r.tally.holding.Store(true)
		err = r.hold(ctx)
		r.tally.holding.Store(false)
	}
	r.phase.Store(int32(ending))
	close(r.writing)
	r.writers.Wait()
	endWatches()
	r.watches.Wait()
	r.end()
	close(stop)
	dog.Wait()
	r.endpoint.close()
	return err
}

// hold waits while sessions do what they do, and no longer than there are any.
func (r *run) hold(ctx context.Context) error {
	for end := time.Now().Add(r.options.duration); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := pause(ctx, min(left, holdLook)); err != nil {
			return err
		}
		if r.tally.alive.Load() == 0 {
			return errNoneLeft
		}
	}
}

// ramp opens each session at its time, or later if too many are being opened.
func (r *run) ramp(ctx, watching context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	turns := make(chan int)
	var opening sync.WaitGroup
	for range min(openers, len(r.kinds)) {
		opening.Go(func() {
			for i := range turns {
				r.open(ctx, watching, i)
				if r.tally.opens.Load() == 0 && r.tally.failures.Load() >= giveUpAfter {
					fail(errHopeless)
				}
			}
		})
	}
	begin := time.Now()
	var err error
	for i := range r.kinds {
		due := begin.Add(r.options.ramp * time.Duration(i) / time.Duration(len(r.kinds)))
		if err = pause(ctx, time.Until(due)); err != nil {
			break
		}
		turns <- i
	}
	close(turns)
	opening.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// open opens the i-th session.
func (r *run) open(ctx, watching context.Context, i int) {
	k := r.kinds[i]
	held := r.options.ramp + r.options.duration + endSlack
	request, err := newRequest(k, r.options, r.endpoint.base, int(held/time.Second))
	if err == nil && k.isWatch() {
		err = r.watch(ctx, watching, k, request)
	} else if err == nil {
		err = r.echo(ctx, i, request)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		r.tally.failed(k, classify(err))
	}
}

// echo opens an exec or a port-forward, and sets it to work.
func (r *run) echo(ctx context.Context, i int, request *http.Request) error {
	k := r.kinds[i]
	asking, cancel := context.WithTimeout(ctx, r.options.openTimeout)
	defer cancel()
	begin := time.Now()
	stood := begin
	asking = context.WithValue(asking, connected{}, &stood)
	w, err := k.upgrade(r.endpoint.upgrade, request.WithContext(asking))
	if err != nil {
		return err
	}
	r.tally.took(k, connect, stood.Sub(begin))
	r.tally.took(k, opened, time.Since(stood))
	l, err := k.attach(w, r.options.port)
	if err != nil {
		w.cut()
		return err
	}
	s := &session{kind: k, wire: w, link: l, bytes: pattern(i), tally: r.tally, asked: stood}
	r.tally.began(k)
	if r.paces[i] != nil {
		s.room = make(chan struct{}, 1)
	}
	s.begin()
	r.watchdog.add(s)
	r.mu.Lock()
	r.sessions = append(r.sessions, s)
	r.mu.Unlock()
	if p := r.paces[i]; p != nil {
		r.writers.Go(func() { keepWriting(s, p, r.options.inFlight, r.writing) })
	}
	return nil
}

// watch opens a watch, which is read until watching ends.
func (r *run) watch(ctx, watching context.Context, k *kind, request *http.Request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &watch{tally: r.tally, kind: k, asked: time.Now()}
	body, err := r.endpoint.openWatch(watching, request, r.options.openTimeout)
	if err != nil {
		return err
	}
	r.tally.took(k, opened, time.Since(w.asked))
	r.tally.began(k)
	r.watches.Go(func() { r.tally.finished(k, w.read(watching, body)) })
	return nil
}

// end lets every session say its last words, and waits for its end; the watchdog sees to it that it comes.
func (r *run) end() {
	turns := make(chan *session)
	var workers sync.WaitGroup
	for range enders {
		workers.Go(func() {
			for s := range turns {
				select {
				case <-s.done:
				default:
					s.finish()
					<-s.done
				}
			}
		})
	}
	for _, s := range r.sessions {
		turns <- s
	}
	close(turns)
	workers.Wait()
}

// pause waits for d, or for the end of ctx, whose cause it returns.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return context.Cause(ctx)
}
