package leg

import "time"

const (
	longWait       = time.Second
	manyShortWaits = 8 // consecutive short waits after which bytes are considered frequent
	// idleTime is how long, at least, a busy leg is silent before its waiting Read is interrupted.
	// At most it is twice that.
	idleTime = longWait
)

// noteWait records a wait of duration d.
func (l *Leg) noteWait(d time.Duration) {
	switch {
	case d >= longWait:
		l.shortWaits = 0
	case l.shortWaits < manyShortWaits:
		l.shortWaits++
	}
}

// ExpectsIdle reports whether the next bytes are likely to take long to arrive.
func (l *Leg) ExpectsIdle() bool { return l.pollable != nil && l.shortWaits < manyShortWaits }

// AwaitReadable returns when Read would return bytes, the end or an error. It needs little stack.
func (l *Leg) AwaitReadable() {
	l.beginWait()
	err := l.pollable.await()
	l.Unpark()
	// Read returns the error. Until then ExpectsIdle must return false.
	if err != nil {
		l.shortWaits = manyShortWaits
	}
}

// Park waits in p instead of in a goroutine. p calls wake when Read would return bytes, the end or
// an error. wake must call Unpark first. If Park returns false, wake is never called.
func (l *Leg) Park(p *IdlePoller, wake func()) bool {
	l.beginWait() // first, because wake may run before park returns
	if l.pollable.park(p, wake) {
		return true
	}
	l.reading.Store(false)
	return false
}

// beginWait records that the leg's reader waits without a Read.
func (l *Leg) beginWait() {
	l.waitingSince = time.Now()
	l.reading.Store(true)
}

// Unpark ends a wait that AwaitReadable or Park began. It is called before the next Read.
func (l *Leg) Unpark() {
	l.reading.Store(false)
	l.noteWait(time.Since(l.waitingSince))
	l.pollable.resetDrained()
}

// AllowInterrupts sets whether the leg's loop can handle an interrupted Read. Only the leg's reader
// calls it.
func (l *Leg) AllowInterrupts(can bool) { l.idle.allowed = can }

// startIdleTimer starts the idle timer if the leg is busy. Read calls it first.
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

// idleTimerFired interrupts the leg's Read if it has waited since the timer last fired.
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
