package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// figure is something that takes time.
type figure int

const (
	connect figure = iota + 1
	opened
	firstByte
	roundTrip
	lateBy
	ended
	figures
)

var figureNames = [figures]string{
	connect: "connect", opened: "open", firstByte: "first byte", roundTrip: "round trip", lateBy: "late", ended: "end",
}

// Histograms count microseconds, up to an hour, with three digits.
const (
	leastTime  = 1
	mostTime   = int64(time.Hour / time.Microsecond)
	timeDigits = 3
	// maxClasses bounds the classes that are told apart: codes are the server's.
	maxClasses = 64
)

// tally counts what all sessions of a run do. Safe for concurrent use.
type tally struct {
	up, down atomic.Int64 // bytes
	alive    atomic.Int64 // sessions that are open
	events   atomic.Int64 // of watches
	failures atomic.Int64
	opens    atomic.Int64
	trips    atomic.Int64 // round trips
	holding  atomic.Bool  // round trips and what is late count now

	mu     sync.Mutex
	times  map[*kind]*[figures]*hdrhistogram.Histogram
	counts map[*kind]*counts
	errors map[string]*failure
	window *hdrhistogram.Histogram // round trips since the last sample
}

// counts of a kind's sessions.
type counts struct {
	Planned int `json:"planned"`
	Opened  int `json:"opened"`
	Ended   int `json:"ended"` // as they should
	Failed  int `json:"failed"`
}

// failure is how often a class of failure was seen.
type failure struct {
	Class   string `json:"class"`
	Count   int    `json:"count"`
	Example string `json:"example"` // the first
	Kind    string `json:"kind"`    // of the first
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(leastTime, mostTime, timeDigits) }

func newTally(plan []*kind) *tally {
	t := &tally{
		times: map[*kind]*[figures]*hdrhistogram.Histogram{}, counts: map[*kind]*counts{},
		errors: map[string]*failure{}, window: newHistogram(),
	}
	for _, k := range plan {
		if t.counts[k] == nil {
			t.counts[k] = &counts{}
			t.times[k] = &[figures]*hdrhistogram.Histogram{}
		}
		t.counts[k].Planned++
	}
	return t
}

// took counts that something of a kind took d.
func (t *tally) took(k *kind, what figure, d time.Duration) {
	us := min(max(d.Microseconds(), leastTime), mostTime)
	steady := what == roundTrip || what == lateBy
	t.mu.Lock()
	defer t.mu.Unlock()
	if what == roundTrip {
		_ = t.window.RecordValue(us) // it is within the bounds, here and below
		t.trips.Add(1)
	}
	if steady && !t.holding.Load() {
		return
	}
	times := t.times[k]
	if times[what] == nil {
		times[what] = newHistogram()
	}
	_ = times[what].RecordValue(us)
}

// began counts a session that was opened; finished is called once for it.
func (t *tally) began(k *kind) {
	t.alive.Add(1)
	t.opens.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[k].Opened++
}

// finished counts the end of a session that was opened; f is nil if all was well.
func (t *tally) finished(k *kind, f *fault) {
	t.alive.Add(-1)
	if f != nil {
		t.failed(k, f)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[k].Ended++
}

// failed counts a session that failed, whether it had been opened or not.
func (t *tally) failed(k *kind, f *fault) {
	t.failures.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[k].Failed++
	class := f.class
	if t.errors[class] == nil && len(t.errors) >= maxClasses-1 {
		class = classOther
	}
	if t.errors[class] == nil {
		t.errors[class] = &failure{Class: class, Example: f.err.Error(), Kind: k.name}
	}
	t.errors[class].Count++
}

// all is the histogram of a figure over all kinds.
func (t *tally) all(what figure) *hdrhistogram.Histogram {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := newHistogram()
	for _, times := range t.times {
		if times[what] != nil {
			sum.Merge(times[what])
		}
	}
	return sum
}

// recent gives quantiles of the round trips since the last call.
func (t *tally) recent() (p50, p99 time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.window.TotalCount() > 0 {
		p50, p99 = quantile(t.window, 50), quantile(t.window, 99)
		t.window.Reset()
	}
	return p50, p99
}

func quantile(h *hdrhistogram.Histogram, q float64) time.Duration {
	return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond
}
