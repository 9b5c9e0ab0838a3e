package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

// A session's beginning leaves several times the memory that the session keeps, and a
// process that then has nothing to do collects it late and returns little of it.
const (
	tidyLook     = 2 * time.Second
	tidyInterval = time.Minute // the least between two collections
	// tidyChanges is how many sessions begin or end, at least, before it is worth it.
	tidyChanges = 64
)

// From manySessions on garbage is collected at half as much of it. A session then costs
// 3 KiB less, because what it keeps lies closer together, and its beginning more CPU.
// GOGC in the environment is the operator's word instead.
const (
	manySessions = 512
	manyPercent  = 50
	fewPercent   = 100 // Go's own
)

func gcPercent(running int) int {
	if running >= manySessions {
		return manyPercent
	}
	return fewPercent
}

// tidier knows when edge is to give memory back to the system.
type tidier struct {
	last time.Time // of the last time
	done uint64    // changes by then
	seen uint64    // changes at the last look
}

// isDue tells whether many sessions began or ended, and few since the last look.
func (t *tidier) isDue(now time.Time, changes uint64) bool {
	quiet := changes-t.seen < tidyChanges
	t.seen = changes
	if !quiet || changes-t.done < tidyChanges || now.Sub(t.last) < tidyInterval {
		return false
	}
	t.last, t.done = now, changes
	return true
}

// tidyUp collects garbage when many sessions have begun or ended, and sooner while
// there are many, until ctx ends.
func tidyUp(ctx context.Context, sessions func() (running int, changes uint64)) {
	look := time.NewTicker(tidyLook)
	defer look.Stop()
	var t tidier
	_, told := os.LookupEnv("GOGC")
	percent := fewPercent
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			running, changes := sessions()
			if want := gcPercent(running); want != percent && !told {
				debug.SetGCPercent(want)
				percent = want
			}
			if t.isDue(now, changes) {
				debug.FreeOSMemory()
			}
		}
	}
}
