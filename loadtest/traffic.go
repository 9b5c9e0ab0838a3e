package main

import "time"

// keepWriting writes to a session at pace p until stop is closed or the session ends. A write waits
// while the server has not echoed enough of the previous ones. If the pace has a rate,
// keepWriting records how late each write is. After a write that is late by more than one interval
// of the pace, keepWriting continues at the pace and sends no burst to catch up.
func keepWriting(s *session, p *pace, inFlight int, stop <-chan struct{}) {
	window := inFlight
	var gap time.Duration
	if p.rate > 0 {
		gap = time.Duration(float64(time.Second) / p.rate)
	} else if p.alone {
		window = p.size
	}
	timer := time.NewTimer(gap)
	defer timer.Stop()
	for due := time.Now().Add(gap); ; {
		select {
		case <-stop:
			return
		case <-s.done:
			return
		case <-timer.C:
		}
		for !s.fits(p.size, window) {
			select {
			case <-stop:
				return
			case <-s.done:
				return
			case <-s.room:
			}
		}
		wait := time.Duration(0)
		if gap > 0 {
			late := max(0, time.Since(due))
			s.tally.took(s.kind, lateBy, late)
			if due = due.Add(gap); late > gap {
				due = time.Now().Add(gap)
			}
			wait = max(0, time.Until(due))
		}
		s.say(p.size, roundTrip)
		timer.Reset(wait)
	}
}
