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
	l.beginWait()
	err := l.pollable.await()
	l.Unpark()
	if err != nil { // which Read tells; until then nobody is to come back here
		l.shortWaits = manyShortWaits
	}
}

// Park leaves the wait to p, which calls wake when Read has something to say; wake begins with Unpark. If Park returns false,
// nobody calls wake.
func (l *Leg) Park(p *IdlePoller, wake func()) bool {
	l.beginWait() // first: wake may run before park returns
	if l.pollable.park(p, wake) {
		return true
	}
	l.reading.Store(false)
	return false
}

// beginWait notes that the leg's reader waits, without a Read.
func (l *Leg) beginWait() {
	l.waitingSince = time.Now()
	l.reading.Store(true)
}

// Unpark ends such a wait, before the next Read.
func (l *Leg) Unpark() {
	l.reading.Store(false)
	l.noteWait(time.Since(l.waitingSince))
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
