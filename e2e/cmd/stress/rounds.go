package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// busyLoops are those beside the tests.
const busyLoops = 2

// stillRunning is how often a run that takes long is named.
const stillRunning = time.Minute

// A job is a suite at one -cpu.
type job struct {
	suite *suite
	kept  *kept
	cpu   int
	runs  int // done and running
	now   bool
}

func (j *job) String() string {
	if j.cpu == 0 {
		return j.suite.name
	}
	return fmt.Sprintf("%s -cpu %d", j.suite.name, j.cpu)
}

// A plan says what runs next, until all have had their rounds or the time is over.
type plan struct {
	rounds   int
	deadline time.Time
	dir      string // for the output of runs
	say      io.Writer

	mu     sync.Mutex
	jobs   []*job
	failed error // of stress itself
}

func newPlan(suites []suite, keep []*kept, rounds int, budget time.Duration, dir string, say io.Writer) *plan {
	p := &plan{rounds: rounds, deadline: time.Now().Add(budget), dir: dir, say: say}
	for i := range suites {
		for _, cpu := range suites[i].cpus {
			p.jobs = append(p.jobs, &job{suite: &suites[i], kept: keep[i], cpu: cpu, runs: keep[i].count(cpu)})
		}
	}
	return p
}

// next is the job with the fewest runs, of these the one that takes longest; nil when all is done, the time is over or
// nothing more can begin. The end-to-end tests are not run beside themselves: they share the machine's networks.
func (p *plan) next(ctx context.Context) *job {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil || p.failed != nil || !time.Now().Before(p.deadline) {
		return nil
	}
	var best *job
	for _, j := range p.jobs {
		if j.runs >= p.rounds || j.now && j.suite.name == endToEndPackage {
			continue
		}
		if best == nil || j.runs < best.runs || j.runs == best.runs && j.kept.slowest() > best.kept.slowest() {
			best = j
		}
	}
	if best != nil {
		best.runs++
		best.now = true
	}
	return best
}

// done keeps the run of a job and says it.
func (p *plan) done(j *job, r ran, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	j.now = false
	if err == nil {
		err = j.kept.add(r)
	}
	if err != nil {
		if !errors.Is(err, errEnded) && p.failed == nil {
			p.failed = err
		}
		return
	}
	verdict := "ok  "
	if len(r.Failed) > 0 {
		verdict = "FAIL"
	}
	fmt.Fprintf(p.say, "%s %s  round %2d of %d  %6.1fs  %s", time.Now().Format(time.TimeOnly), verdict, j.kept.count(j.cpu), p.rounds, r.Seconds, j)
	if len(r.Failed) > 0 {
		fmt.Fprintf(p.say, ": %s: %s", strings.Join(r.Failed, ", "), r.Output)
	}
	fmt.Fprintln(p.say)
}

// run works on the plan, several jobs at a time, beside busy loops.
func (p *plan) run(ctx context.Context, atOnce, loops int) error {
	busy, quiet := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer quiet()
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + loops) // the loops are not to stand in the way of the rest of this process
	defer runtime.GOMAXPROCS(before)
	for range loops {
		all.Go(func() { keepBusy(busy) })
	}
	var slots sync.WaitGroup
	for slot := range atOnce {
		slots.Go(func() {
			// A process ends with the thread that started it, see Pdeathsig.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for {
				j := p.next(ctx)
				if j == nil {
					return
				}
				still := p.nameLong(j)
				r, err := j.suite.run(ctx, j.cpu, filepath.Join(p.dir, fmt.Sprintf("%s-%s-%s-%d-cpu%d.txt",
					fileName(j.suite.name), j.suite.digest, time.Now().UTC().Format("20060102T150405.000000000"), slot, j.cpu)))
				still()
				p.done(j, r, err)
			}
		})
	}
	slots.Wait()
	return p.failed
}

// nameLong says every minute that the job runs, until the returned function is called.
func (p *plan) nameLong(j *job) (stop func()) {
	end, began := make(chan struct{}), time.Now()
	go func() {
		every := time.NewTicker(stillRunning)
		defer every.Stop()
		for {
			select {
			case <-end:
				return
			case <-every.C:
				p.mu.Lock()
				fmt.Fprintf(p.say, "%s ...   running for %v: %s\n", time.Now().Format(time.TimeOnly), time.Since(began).Round(time.Second), j)
				p.mu.Unlock()
			}
		}
	}()
	return func() { close(end) }
}

// keepBusy uses a core until ctx ends.
func keepBusy(ctx context.Context) {
	for x := uint64(1); ctx.Err() == nil; {
		for range 1 << 20 {
			x = x*6364136223846793005 + 1
		}
		runtime.KeepAlive(x)
	}
}
