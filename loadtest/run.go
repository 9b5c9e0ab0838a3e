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
	// openers is the maximum number of sessions that open at the same time.
	openers = 64
	// enders is the maximum number of sessions that end at the same time.
	enders = 64
	// giveUpAfter is the number of failures after which a load test ends if it could open no
	// session.
	giveUpAfter = 20
	// holdLook is the interval at which the hold phase checks whether any session is still open.
	holdLook = time.Second
	// endSlack is added to the planned duration of a watch in its request, so that the server does
	// not end the watch before loadtest does.
	endSlack = 10 * time.Minute
)

// run is the state of one load test.
type run struct {
	options  *options
	endpoint *endpoint
	tally    *tally
	kinds    []*kind // kind of each session, by its number
	paces    []*pace // size and rate of each session's writes, by its number; nil: the session is idle
	watchdog watchdog
	phase    atomic.Int32

	writing  chan struct{} // closed when the hold phase ends, so that busy sessions stop writing
	writers  sync.WaitGroup
	watches  sync.WaitGroup
	mu       sync.Mutex // guards the field sessions
	sessions []*session // echo sessions (exec and port-forward) that were opened
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

// load opens all sessions, holds them and ends them. If ctx ends early, load still ends each open
// session with a half-close, and returns the cause of ctx.
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

// hold waits until the time of the hold phase has passed, ctx has ended, or no session is open any
// more.
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

// ramp opens each session at its planned time. At most openers sessions (a constant) open at the
// same time. While so many sessions are opening, the next one waits.
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

// open opens session number i. If the session cannot be opened, open counts it as failed. If ctx
// ends before the session is open, open counts nothing.
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

// echo opens exec or port-forward session number i. It starts the goroutine that reads the session
// and, if the session is busy, the one that writes.
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

// watch opens a watch and reads its events until the context watching ends.
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

// end half-closes every echo session and waits until all have ended. The watchdog cuts sessions
// that do not end in time.
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

// pause waits for the duration d. If ctx ends earlier, pause returns the cause of ctx.
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
