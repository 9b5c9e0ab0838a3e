package main

import (
	"sync"
	"time"
)

// watchdogGap is how often the watchdog looks.
const watchdogGap = time.Second

// watchdog cuts sessions in which something is to come back for too long. It is one goroutine for all, so that a session
// has no timer.
type watchdog struct {
	timeout time.Duration

	mu       sync.Mutex
	sessions []*session // those that are open
}

func (d *watchdog) add(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions = append(d.sessions, s)
}

// run looks until stop is closed.
func (d *watchdog) run(stop <-chan struct{}) {
	ticker := time.NewTicker(watchdogGap)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			d.look(now)
		}
	}
}

// look forgets those that have ended and cuts those that are late.
func (d *watchdog) look(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	open := d.sessions[:0]
	for _, s := range d.sessions {
		select {
		case <-s.done:
			continue
		default:
		}
		open = append(open, s)
		if since := s.waiting.Load(); since != 0 && now.Sub(time.Unix(0, since)) > d.timeout {
			s.cut(s.overdue(d.timeout))
		}
	}
	clear(d.sessions[len(open):])
	d.sessions = open
}
