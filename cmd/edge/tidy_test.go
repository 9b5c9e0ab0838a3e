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
		changes uint64
		due     bool
		why     string
	}{
		{0, 0, false, "nothing happened"},
		{5 * time.Second, 63, false, "few began"},
		{10 * time.Second, 8000, false, "they are still coming"},
		{15 * time.Second, 8001, true, "8,000 have come"},
		{20 * time.Second, 8001, false, "all is done"},
		{25 * time.Second, 16001, false, "they are still going"},
		{30 * time.Second, 16001, false, "a minute is not over"},
		{80 * time.Second, 16001, true, "they have gone"},
		{200 * time.Second, 16040, false, "few changed"},
		{205 * time.Second, 16064, false, "few changed"},
		{210 * time.Second, 16065, true, "many changed, a few at a time"},
	} {
		if due := tidy.isDue(begin.Add(look.at), look.changes); due != look.due {
			t.Errorf("after %v: due %t, because %s", look.at, due, look.why)
		}
	}
}
