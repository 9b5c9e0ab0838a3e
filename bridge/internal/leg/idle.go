package leg

import "time"

const (
	longWait       = time.Second
	manyShortWaits = 8 // waits in a row: then bytes come often
	// idleTime is how long a busy leg is silent, at least, before its loop is called back to rest; twice that at most.
	idleTime = longWait
)

// noteWait takes note of a wait of d.
func (l *Leg) noteWait(d time.Duration) {
	switch {
	case d >= longWait:
		l.shortWaits = 0
	case l.shortWaits < manyShortWaits:
		l.shortWaits++
	}
}

// ExpectsIdle tells whether the next bytes are likely to be long in coming.
func (l *Leg) ExpectsIdle() bool { return l.pollable != nil && l.shortWaits < manyShortWaits }

// AwaitReadable returns when Read has something to say. It takes little stack.
func (l *Leg) AwaitReadable() {
	l.reading.Store(true)
	begin := time.Now()
	err := l.pollable.await()
	l.reading.Store(false)
	l.noteWait(time.Since(begin))
	l.pollable.resetDrained()
	if err != nil { // which Read tells; until then nobody is to come back here
		l.shortWaits = manyShortWaits
	}
}

// Park leaves the wait to p, which then has wake called when Read has something to say: it begins with unpark. False: it
// never is called.
func (l *Leg) Park(p *IdlePoller, wake func()) bool {
	l.parkedSince = time.Now()
	l.reading.Store(true) // wake may come before park is back
	if l.pollable.park(p, wake) {
		return true
	}
	l.reading.Store(false)
	return false
}

func (l *Leg) Unpark() {
	l.reading.Store(false)
	l.noteWait(time.Since(l.parkedSince))
	l.pollable.resetDrained()
}

// AllowInterrupts says whether the leg's loop can rest. The leg's reader calls it.
func (l *Leg) AllowInterrupts(can bool) { l.idle.allowed = can }

// startIdleTimer is called before each Read of a leg.
func (l *Leg) startIdleTimer() {
	if !l.idle.allowed || l.shortWaits < manyShortWaits || l.idle.running.Load() {
		return
	}
	l.idle.mu.Lock()
	defer l.idle.mu.Unlock()
	switch {
	case l.idle.closed:
		return
	case l.idle.timer == nil:
		l.idle.timer = time.AfterFunc(idleTime, l.idleTimerFired)
	default:
		l.idle.timer.Reset(idleTime)
	}
	l.idle.read = l.in.Load()
	l.idle.running.Store(true)
}

// idleTimerFired interrupts a reader that has waited since the timer fired last.
func (l *Leg) idleTimerFired() {
	l.idle.mu.Lock()
	defer l.idle.mu.Unlock()
	in := l.in.Load()
	switch {
	case l.idle.closed:
	case in != l.idle.read || !l.reading.Load():
		l.idle.read = in
		l.idle.timer.Reset(idleTime)
	default:
		l.idle.running.Store(false)
		l.pollable.interrupt()
	}
}
