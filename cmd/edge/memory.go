package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// After a burst of work, for example after many new sessions, a process holds several times the
// memory that it uses. If it then has little to do, Go collects the garbage late and returns little
// memory to the system. Every tidyLook, tidyUp checks whether edge should collect garbage itself.
const (
	tidyLook = 2 * time.Second
	// edge is quiet if since the last check of tidyUp it has allocated less than 1/quietShare of
	// the used bytes, or less than quietBytes. 8,000 idle sessions allocate 1 MiB for their
	// keepalives.
	quietShare = 32
	quietBytes = 1 << 20
	// edge is quiet only if, in addition, fewer than quietEnds goroutines have ended since the last
	// check of tidyUp, or fewer than 1/quietShare of them. Goroutines end when sessions become
	// idle, and a garbage collection frees their stacks only as whole spans of 32 KiB.
	quietEnds = 64
	// A garbage collection is worth its cost if it frees at least leastWaste bytes and 1/wasteShare
	// of the used bytes.
	leastWaste = 4 << 20
	wasteShare = 16
	// Two garbage collections by tidyUp are at least tidyInterval apart, because one takes 150 ms
	// of CPU with 8,000 sessions. If 1/muchShare of the used bytes can be freed, edge collects at
	// once; this is rare in a quiet process.
	tidyInterval = 10 * time.Second
	muchShare    = 4
)

// Go collects garbage when the garbage reaches a percentage of the objects in use, 100 by default.
// From manySessions sessions on, edge sets manyPercent: a session then needs 3 KiB less, because its
// objects lie closer together, and its start needs more CPU. With fewer sessions, and less than
// smallHeap bytes in use, edge sets smallPercent: requests need less CPU, and there is at most
// smallHeap more garbage than by default. If GOGC is set in the environment, edge changes nothing.
const (
	manySessions = 512
	manyPercent  = 50
	usualPercent = 100 // GC percent that Go uses by default
	smallHeap    = 32 << 20
	smallPercent = 200
)

func gcPercent(sessions int, live uint64) int {
	switch {
	case sessions >= manySessions:
		return manyPercent
	case live < smallHeap:
		return smallPercent
	}
	return usualPercent
}

// memory holds statistics about the memory of the process, in bytes.
type memory struct {
	live       uint64 // objects that were in use at the last garbage collection
	allocated  uint64 // bytes allocated since the process started
	free       uint64 // memory that is neither in use nor returned to the system
	used       uint64 // objects (including garbage) and stacks
	stacks     uint64 // stacks, including those of ended goroutines
	goroutines uint64 // number of running goroutines
}

// readMemory reads the memory statistics from Go's runtime. It takes some microseconds and does not
// stop the process.
func readMemory() memory {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	return memory{live: value(5), allocated: value(0), free: value(1), used: value(2) + value(3), stacks: value(3), goroutines: value(4)}
}

// tidier decides when edge should return memory to the system.
type tidier struct {
	seen memory    // statistics at the last check
	most uint64    // highest number of goroutines at any check since the last garbage collection
	done uint64    // bytes allocated since the start, when the last garbage collection ended
	last time.Time // when the last garbage collection ended
}

// isDue reports whether edge is quiet and has enough memory to return.
func (t *tidier) isDue(now time.Time, m memory) bool {
	quiet := m.allocated-t.seen.allocated < max(quietBytes, m.used/quietShare) &&
		m.goroutines+max(quietEnds, m.goroutines/quietShare) > t.seen.goroutines // while many goroutines end, a garbage collection is too early
	t.seen = m
	t.most = max(t.most, m.goroutines)
	waste := m.free + min(m.allocated-t.done, m.used) // an upper limit: some of the allocated bytes may still be in use
	waste += m.stacks / t.most * (t.most - m.goroutines)
	rested := waste >= m.used/muchShare || now.Sub(t.last) >= tidyInterval
	return quiet && rested && waste >= max(leastWaste, m.used/wasteShare)
}

// tidied records that a garbage collection has ended.
func (t *tidier) tidied(now time.Time, m memory) {
	t.seen, t.most, t.done, t.last = m, m.goroutines, m.allocated, now
}

// tidyUp collects garbage when edge becomes quiet after work, and changes with the number of sessions
// and the size of the heap when Go collects garbage. It runs until ctx ends.
func tidyUp(ctx context.Context, sessions func() int) {
	look := time.NewTicker(tidyLook)
	defer look.Stop()
	var t tidier
	_, told := os.LookupEnv("GOGC")
	percent := usualPercent
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		m := readMemory()
		if want := gcPercent(sessions(), m.live); want != percent && !told {
			debug.SetGCPercent(want)
			percent = want
		}
		if t.isDue(time.Now(), m) {
			debug.FreeOSMemory()
			t.tidied(time.Now(), readMemory())
		}
	}
}
