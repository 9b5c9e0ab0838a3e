package leg

import (
	"sync"
	"time"
)

// A stallClock measures how long writes to a connection wait because the peer does not read. A
// write that need not wait does not touch the clock's lock.
type stallClock struct {
	waiting bool // whether the current write waits; used by the goroutine that writes only

	mu    sync.Mutex
	since time.Time     // when the current wait began; zero: no write waits
	past  time.Duration // length of all waits that have ended
}

// start begins a wait, unless the current write waits already.
func (c *stallClock) start() {
	if c.waiting {
		return
	}
	c.waiting = true
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
}

// stop ends the wait, if the current write had to wait.
func (c *stallClock) stop() {
	if !c.waiting {
		return
	}
	c.waiting = false
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past += time.Since(c.since)
	c.since = time.Time{}
}

// stalled returns the length of all waits until now, and whether one has not ended yet. The length
// includes that one and never decreases.
func (c *stallClock) stalled() (total time.Duration, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		return c.past, false
	}
	return c.past + time.Since(c.since), true
}
