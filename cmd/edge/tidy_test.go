package main

import (
	"testing"
	"time"
)

func TestTidyingIsDueAfterWorkAndInQuiet(t *testing.T) {
	const mib = 1 << 20
	begin := time.Now()
	var tidy tidier
	for _, look := range []struct {
		at                    time.Duration
		allocated, free, used uint64 // MiB
		due                   bool
		why                   string
	}{
		{0, 3, 0, 3, false, "edge has just begun"},
		{2 * time.Second, 3, 0, 3, false, "it allocated less than is worth it"},
		{4 * time.Second, 300, 10, 200, false, "sessions are still coming"},
		{6 * time.Second, 300, 10, 200, true, "they have come"},
		{8 * time.Second, 300, 0, 100, false, "all is done"},
		{10 * time.Second, 300, 5, 100, false, "one in 16 is not free"},
		{12 * time.Second, 300, 7, 100, false, "10 s are not over"},
		{17 * time.Second, 300, 7, 100, true, "stacks were given back"},
		{60 * time.Second, 301, 0, 100, false, "the system has them"},
		{62 * time.Second, 306, 10, 110, false, "work goes on"},
		{64 * time.Second, 309, 10, 110, true, "keepalives alone are said"},
	} {
		now := begin.Add(look.at)
		m := memory{allocated: look.allocated * mib, free: look.free * mib, used: look.used * mib}
		if due := tidy.isDue(now, m); due != look.due {
			t.Errorf("after %v: due %t, because %s", look.at, due, look.why)
		}
		if look.due {
			tidy.tidied(now, m)
		}
	}
}

// TestReadMemory: the runtime knows the names by which its memory is asked for.
func TestReadMemory(t *testing.T) {
	before := readMemory()
	kept := make([]byte, 8<<20)
	after := readMemory()
	if before.used == 0 || after.used < uint64(len(kept)) || after.allocated-before.allocated < uint64(len(kept)) {
		t.Errorf("8 MiB more: %+v, then %+v", before, after)
	}
	kept[0] = 1
}
