package main

import (
	"context"
	"runtime/debug"
	"time"
)

// A session's beginning leaves several times the memory that the session keeps, and a
// process that then has nothing to do collects it late and returns little of it.
const (
	tidyLook     = 5 * time.Second
	tidyInterval = time.Minute // the least between two collections
	// tidyChanges is how many sessions begin or end, at least, before it is worth it;
	// and tidyShare, of all there are, since those are what a collection has to go
	// through: its cost for each beginning and end is bounded.
	tidyChanges = 64
	tidyShare   = 4
)

// tidier knows when edge is to give memory back to the system.
type tidier struct {
	last time.Time // of the last time
	done uint64    // changes by then
	seen uint64    // changes at the last look
}

// isDue tells whether many sessions began or ended, and few since the last look.
func (t *tidier) isDue(now time.Time, running int, changes uint64) bool {
	quiet := changes-t.seen < tidyChanges
	t.seen = changes
	if !quiet || changes-t.done < max(tidyChanges, uint64(running)/tidyShare) || now.Sub(t.last) < tidyInterval {
		return false
	}
	t.last, t.done = now, changes
	return true
}

// tidyUp collects garbage when many sessions have begun or ended, until ctx ends.
func tidyUp(ctx context.Context, sessions func() (running int, changes uint64)) {
	look := time.NewTicker(tidyLook)
	defer look.Stop()
	var t tidier
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			if running, changes := sessions(); t.isDue(now, running, changes) {
				debug.FreeOSMemory()
			}
		}
	}
}
