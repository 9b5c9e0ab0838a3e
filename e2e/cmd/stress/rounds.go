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

// busyLoops is the default for the flag --busy: how many loops that only use CPU run at the same
// time as the tests.
const busyLoops = 2

// stillRunning is the interval at which stress reports that a test binary is still running.
const stillRunning = time.Minute

// job is one package's test binary with one value of -cpu. A plan runs it once per round.
type job struct {
	suite *suite
	kept  *kept
	cpu   int
	runs  int // number of runs, completed and running ones together
	now   bool
}

func (j *job) String() string {
	if j.cpu == 0 {
		return j.suite.name
	}
	return fmt.Sprintf("%s -cpu %d", j.suite.name, j.cpu)
}

// plan decides which job (a test binary with one value of -cpu) runs next, until all jobs have run
// in every round or the deadline has passed.
type plan struct {
	rounds   int
	deadline time.Time
	dir      string // folder for files with the output of failed runs
	say      io.Writer

	mu     sync.Mutex
	jobs   []*job
	failed error // error in stress itself; nil if only tests have failed
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

// next returns the job (a test binary with one value of -cpu) that has the fewest runs; among
// several, the slowest one. It returns nil if all rounds are done, the deadline has passed, ctx has
// ended, or no job can start now. The end-to-end tests never run twice at the same time, because
// both runs would use the machine's networks.
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

// done stores the result of one run of a job and prints it. err is an error in stress itself.
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

// run runs the jobs in the order of the plan, atOnce of them at a time. Meanwhile it also runs busy
// loops, which only use CPU; the parameter loops is their number.
func (p *plan) run(ctx context.Context, atOnce, loops int) error {
	busy, quiet := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer quiet()
	before := runtime.GOMAXPROCS(0)
	// allow one more thread for each busy loop, so that the loops do not slow down the other
	// goroutines of this process
	runtime.GOMAXPROCS(before + loops)
	defer runtime.GOMAXPROCS(before)
	for range loops {
		all.Go(func() { keepBusy(busy) })
	}
	var slots sync.WaitGroup
	for slot := range atOnce {
		slots.Go(func() {
			// This goroutine keeps its thread, because the kernel kills a process when the thread
			// that started it ends; see Pdeathsig in prctl(2).
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

// nameLong prints every minute that the job is still running, until the caller calls the function
// stop, which nameLong returns.
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
				fmt.Fprintf(p.say, "%s ...   still running after %v: %s\n", time.Now().Format(time.TimeOnly), time.Since(began).Round(time.Second), j)
				p.mu.Unlock()
			}
		}
	}()
	return func() { close(end) }
}

// keepBusy keeps one core busy until ctx ends.
func keepBusy(ctx context.Context) {
	for x := uint64(1); ctx.Err() == nil; {
		for range 1 << 20 {
			x = x*6364136223846793005 + 1
		}
		runtime.KeepAlive(x)
	}
}
