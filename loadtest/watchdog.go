package main

import (
	"sync"
	"time"
)

// watchdogGap is the interval at which the watchdog checks all sessions.
const watchdogGap = time.Second

// watchdog cuts sessions that have waited longer than timeout for data or for their end. It is one
// goroutine for all sessions, so that a session needs no timer of its own.
type watchdog struct {
	timeout time.Duration

	mu       sync.Mutex
	sessions []*session // open sessions (exec and port-forward); guarded by mu
}

func (d *watchdog) add(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions = append(d.sessions, s)
}

// run checks at each interval of watchdogGap whether a session has waited too long. It ends when
// stop is closed.
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

// look removes sessions that have ended from the list, and cuts sessions that have waited too long.
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
