package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What a burst of work leaves behind is several times what stays in use, as after many sessions began or their users
// have stopped typing. A process that then has nothing to do collects it late, and returns little of it.
const (
	tidyLook = 2 * time.Second
	// Where nothing much goes on, one byte in quietShare of those in use is allocated between two looks at most, and always
	// quietBytes may: 8,000 idle sessions take 1 MiB for their keepalives.
	quietShare = 32
	quietBytes = 1 << 20
	// Nor do many goroutines end: those of sessions do when they come to rest, and what a collection frees of their stacks is
	// whole spans of 32 KiB.
	quietEnds = 64
	// A collection is worth it for leastWaste bytes, and for one in wasteShare of those in use.
	leastWaste = 4 << 20
	wasteShare = 16
	// From one collection to the next it is tidyInterval, since for 8,000 sessions each takes 150 ms of CPU. One byte in
	// muchShare is worth it at once, and does not come about often in quiet.
	tidyInterval = 10 * time.Second
	muchShare    = 4
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

// memory is a process's, in bytes.
type memory struct {
	allocated  uint64 // so far
	free       uint64 // neither in use nor the system's
	used       uint64 // objects, garbage among them, and stacks
	stacks     uint64 // those of goroutines that have ended among them
	goroutines uint64 // how many there are
}

// readMemory reads it from the runtime, which costs some microseconds and stops nothing.
func readMemory() memory {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	return memory{allocated: value(0), free: value(1), used: value(2) + value(3), stacks: value(3), goroutines: value(4)}
}

// tidier knows when edge is to give memory back to the system.
type tidier struct {
	seen memory    // at the last look
	most uint64    // goroutines at any look since the last collection
	done uint64    // allocated, when the last collection was over
	last time.Time // when that was
}

// isDue tells whether there is enough to give back, and edge at rest.
func (t *tidier) isDue(now time.Time, m memory) bool {
	quiet := m.allocated-t.seen.allocated < max(quietBytes, m.used/quietShare) &&
		m.goroutines+max(quietEnds, m.goroutines/quietShare) > t.seen.goroutines // while many end a collection comes too early
	t.seen = m
	t.most = max(t.most, m.goroutines)
	waste := m.free + min(m.allocated-t.done, m.used) // at most: not all that was allocated is garbage by now
	waste += m.stacks / t.most * (t.most - m.goroutines)
	rested := waste >= m.used/muchShare || now.Sub(t.last) >= tidyInterval
	return quiet && rested && waste >= max(leastWaste, m.used/wasteShare)
}

// tidied takes note of a collection that is over now.
func (t *tidier) tidied(now time.Time, m memory) {
	t.seen, t.most, t.done, t.last = m, m.goroutines, m.allocated, now
}

// tidyUp collects garbage when edge has come to rest after work, and sooner while there are many sessions, until ctx ends.
func tidyUp(ctx context.Context, sessions func() int) {
	look := time.NewTicker(tidyLook)
	defer look.Stop()
	var t tidier
	_, told := os.LookupEnv("GOGC")
	percent := fewPercent
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if want := gcPercent(sessions()); want != percent && !told {
			debug.SetGCPercent(want)
			percent = want
		}
		if t.isDue(time.Now(), readMemory()) {
			debug.FreeOSMemory()
			t.tidied(time.Now(), readMemory())
		}
	}
}
