package main

import (
	"runtime"
	"testing"
	"time"
)

func TestTidyingIsDueAfterWorkAndInQuiet(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	begin := time.Now()
	var tidy tidier
	for _, look := range []struct {
		at                    time.Duration
		allocated, free, used uint64 // in MiB
		stacks, goroutines    uint64 // stacks in MiB; thousands of goroutines, plus one, because a process has at least one
		due                   bool
		why                   string
	}{
		{0, 3, 0, 3, 0, 0, false, "edge has just started"},
		{2 * time.Second, 3, 0, 3, 0, 0, false, "too little was allocated"},
		{4 * time.Second, 300, 10, 200, 0, 0, false, "sessions are still coming"},
		{6 * time.Second, 300, 10, 200, 0, 0, true, "no more sessions are coming"},
		{8 * time.Second, 300, 0, 100, 0, 0, false, "the waste was just collected"},
		{10 * time.Second, 300, 5, 100, 0, 0, false, "less than 1/16 is free"},
		{12 * time.Second, 300, 7, 100, 0, 0, false, "the last collection was less than 10 s ago"},
		{17 * time.Second, 300, 7, 100, 0, 0, true, "1/16 is free, and 10 s have passed"},
		{60 * time.Second, 301, 0, 100, 0, 0, false, "nothing is free"},
		{62 * time.Second, 306, 10, 110, 0, 0, false, "work goes on"},
		{64 * time.Second, 309, 10, 110, 0, 0, true, "only keepalives are sent"},
		{80 * time.Second, 309, 0, 200, 100, 16, false, "all sessions are busy"},
		{82 * time.Second, 309, 0, 200, 100, 4, false, "some sessions are still busy"},
		{84 * time.Second, 309, 0, 200, 100, 0, false, "the last sessions have just become idle"},
		{86 * time.Second, 309, 0, 200, 100, 0, true, "the stacks of all ended goroutines are unused"},
		{88 * time.Second, 309, 0, 102, 2, 0, false, "the stacks were returned to the system"},
		{90 * time.Second, 309, 24, 102, 2, 0, false, "less than 1/4 is free, and the last collection was less than 10 s ago"},
		{92 * time.Second, 309, 26, 102, 2, 0, true, "1/4 is free"},
	} {
		now := begin.Add(look.at)
		m := memory{allocated: look.allocated * mib, free: look.free * mib, used: look.used * mib,
			stacks: look.stacks * mib, goroutines: 1000*look.goroutines + 1}
		if due := tidy.isDue(now, m); due != look.due {
			t.Errorf("after %v: due %t, because %s", look.at, due, look.why)
		}
		if look.due {
			tidy.tidied(now, m)
		}
	}
}

// TestGCPercent checks how much garbage is allowed, by the number of sessions and the size of the heap.
func TestGCPercent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sessions int
		live     uint64
		want     int
	}{{0, 10 << 20, 200}, {511, 31 << 20, 200}, {0, 32 << 20, 100}, {511, 200 << 20, 100}, {512, 10 << 20, 50}, {8000, 200 << 20, 50}} {
		if got := gcPercent(c.sessions, c.live); got != c.want {
			t.Errorf("%d sessions, %d MiB of objects: %d %%, want %d %%", c.sessions, c.live>>20, got, c.want)
		}
	}
}

// TestReadMemory checks that Go's runtime has the metrics that readMemory reads.
func TestReadMemory(t *testing.T) {
	t.Parallel()
	before := readMemory()
	kept := make([]byte, 8<<20)
	after := readMemory()
	if before.used == 0 || before.stacks == 0 || before.goroutines == 0 || after.used < uint64(len(kept)) || after.allocated-before.allocated < uint64(len(kept)) {
		t.Errorf("8 MiB more: %+v, then %+v", before, after)
	}
	runtime.GC()
	if m := readMemory(); m.live < uint64(len(kept)) {
		t.Errorf("8 MiB are in use, and %d bytes were at the last garbage collection", m.live)
	}
	kept[0] = 1
}
