package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// figure is one kind of duration that loadtest measures, such as the round trip.
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

// Bounds of the histograms: they count microseconds, from 1 us to an hour, with three significant
// digits.
const (
	leastTime  = 1
	mostTime   = int64(time.Hour / time.Microsecond)
	timeDigits = 3
	// maxClasses limits the number of failure classes in a report, because the server chooses the
	// codes in class names. Further classes are counted as "other".
	maxClasses = 64
)

// tally counts what all sessions of a load test do. It is safe for concurrent use.
type tally struct {
	up, down atomic.Int64 // up: bytes that echo sessions sent; down: bytes that all sessions received
	alive    atomic.Int64 // number of open sessions
	events   atomic.Int64 // number of events that watches received
	failures atomic.Int64
	opens    atomic.Int64
	trips    atomic.Int64 // number of round trips, in the ramp phase too
	holding  atomic.Bool  // true in the hold phase: only then are durations of roundTrip and lateBy recorded in the field times

	mu     sync.Mutex // guards the fields below
	times  map[*kind]*[figures]*hdrhistogram.Histogram
	counts map[*kind]*counts
	errors map[string]*failure
	window *hdrhistogram.Histogram // round trips since the previous sample
}

// counts are the numbers of opened, failed and ended sessions of one kind.
type counts struct {
	Planned int `json:"planned"`
	Opened  int `json:"opened"`
	Ended   int `json:"ended"` // sessions that ended without a failure
	Failed  int `json:"failed"`
}

// failure is the number of session failures of one class, with an example.
type failure struct {
	Class   string `json:"class"`
	Count   int    `json:"count"`
	Example string `json:"example"` // error text of the first failure
	Kind    string `json:"kind"`    // kind of the session that failed first
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

// took records the duration d for sessions of kind k. The parameter what is the figure, such as
// roundTrip. Outside the hold phase took does not record roundTrip and lateBy, but it always adds
// round trips to the field window.
func (t *tally) took(k *kind, what figure, d time.Duration) {
	us := min(max(d.Microseconds(), leastTime), mostTime)
	steady := what == roundTrip || what == lateBy
	t.mu.Lock()
	defer t.mu.Unlock()
	if what == roundTrip {
		_ = t.window.RecordValue(us) // ignore the error: there is none, because us is within the histogram's bounds
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

// began counts a session that was opened. The caller must call finished once for the session.
func (t *tally) began(k *kind) {
	t.alive.Add(1)
	t.opens.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[k].Opened++
}

// finished counts the end of an open session. f is nil if the session ended as it should.
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

// failed counts a failed session, whether it was opened or not.
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

// all returns the histogram of a figure (one kind of duration), merged over all kinds of sessions.
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

// recent returns the median and the 99th percentile of the round trips since the last call, or 0 if
// there are none.
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
