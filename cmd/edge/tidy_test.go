package main

import (
	"testing"
	"time"
)

func TestTidyingIsDueAfterManySessionsAndInQuiet(t *testing.T) {
	begin := time.Now()
	var tidy tidier
	for _, look := range []struct {
		at      time.Duration
		running int
		changes uint64
		due     bool
		why     string
	}{
		{0, 0, 0, false, "nothing happened"},
		{5 * time.Second, 63, 63, false, "few began"},
		{10 * time.Second, 8000, 8000, false, "they are still coming"},
		{15 * time.Second, 8001, 8001, true, "8,000 have come"},
		{20 * time.Second, 8001, 8001, false, "all is done"},
		{25 * time.Second, 1, 16001, false, "they are still going"},
		{30 * time.Second, 1, 16001, false, "a minute is not over"},
		{80 * time.Second, 1, 16001, true, "they have gone"},
		{200 * time.Second, 8000, 24000, false, "others are coming"},
		{205 * time.Second, 8000, 24001, true, "others have come"},
		{400 * time.Second, 8000, 24060, false, "few changed"},
		{405 * time.Second, 8000, 25700, false, "others are coming"},
		{410 * time.Second, 8000, 25701, false, "less than a quarter changed"},
		{415 * time.Second, 8000, 25750, false, "less than a quarter changed"},
		{420 * time.Second, 8000, 26001, false, "others are coming"},
		{425 * time.Second, 8000, 26001, true, "a quarter changed, one by one"},
	} {
		if due := tidy.isDue(begin.Add(look.at), look.running, look.changes); due != look.due {
			t.Errorf("after %v: due %t, because %s", look.at, due, look.why)
		}
	}
}
