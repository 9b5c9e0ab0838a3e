package authn

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Run fetches the keys of every issuer and renews them, and follows the configuration file, until ctx ends. It is called
// once, and starts nothing that outlives it; afterwards tokens are verified with the last keys.
func (a *Authenticator) Run(ctx context.Context) {
	k := &keyRefreshers{schedule: a.schedule, log: a.options.Log, running: make(map[*keySource]context.CancelFunc)}
	defer k.wait()
	k.start(ctx, a.rules.Load())
	if a.options.File == "" {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(a.reloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if conf := a.reload(); conf != nil {
			k.start(ctx, conf) // before it is used: who comes with a new issuer's token waits for its keys
			a.rules.Store(conf)
			a.cache.sweep(func(m *cachedToken) bool { return conf.has(m.issuer) })
			k.stop(func(s *keySource) bool { return !conf.uses(s) })
		}
	}
}

// keepers are the goroutines that keep keys new, one per key source. They belong to Run.
type keyRefreshers struct {
	schedule fetchSchedule
	log      *slog.Logger
	running  map[*keySource]context.CancelFunc
	wg       sync.WaitGroup
}

// start begins with those key sources of a configuration that nobody keeps yet.
func (k *keyRefreshers) start(ctx context.Context, conf *ruleSet) {
	for _, i := range conf.issuers {
		s := i.source
		if _, ok := k.running[s]; ok {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		k.running[s] = cancel
		s.ring.begin() // now, not when the goroutine comes to it
		k.wg.Go(func() { s.run(ctx, k.schedule, k.log) })
	}
}

func (k *keyRefreshers) stop(gone func(*keySource) bool) {
	for s, cancel := range k.running {
		if gone(s) {
			cancel()
			delete(k.running, s)
		}
	}
}

// wait stops all and returns when they have ended.
func (k *keyRefreshers) wait() {
	k.stop(func(*keySource) bool { return true })
	k.wg.Wait()
}

// maxReadyProblems bounds how many issuers Ready names.
const maxReadyProblems = 3

// Ready returns nil once any issuer's keys are in hand, and stays so while there are any; and where there is no issuer to
// wait for. Before, the error is [ErrNotReady] with what the newest fetches ended with behind it.
func (a *Authenticator) Ready() error {
	conf := a.rules.Load()
	var problems []string
	for _, url := range slices.Sorted(maps.Keys(conf.issuers)) {
		s := conf.issuers[url].source
		if s.ready() {
			return nil
		}
		if text, _ := s.problem(); text != "" {
			problems = append(problems, url+": "+text)
		}
	}
	if len(conf.issuers) == 0 {
		return nil
	}
	if len(problems) == 0 {
		return ErrNotReady
	}
	if more := len(problems) - maxReadyProblems; more > 0 {
		problems = append(problems[:maxReadyProblems], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%w: %s", ErrNotReady, strings.Join(problems, "; "))
}

// Notes are what an operator should know although edge is ready: issuers whose keys cannot be renewed, and since when; and a
// configuration file that was refused, and why. They are sorted lines, at most one per issuer and one for the file.
func (a *Authenticator) Warnings() []string {
	var notes []string
	for _, i := range a.rules.Load().issuers {
		if note := i.source.warning(); note != "" {
			notes = append(notes, note)
		}
	}
	if note := a.configWarning(); note != "" {
		notes = append(notes, note)
	}
	slices.Sort(notes)
	return notes
}
