package leg

import "time"

const (
	longWait       = time.Second
	manyShortWaits = 8 // after this number of short waits in a row, a leg expects bytes soon
	// idleTime is the minimum time without bytes after which edge interrupts the waiting Read of a
	// busy leg. The maximum is twice idleTime.
	idleTime = longWait
)

// noteWait records that the leg's reader waited for bytes for the duration d.
func (l *Leg) noteWait(d time.Duration) {
	switch {
	case d >= longWait:
		l.shortWaits = 0
	case l.shortWaits < manyShortWaits:
		l.shortWaits++
	}
}

// ExpectsIdle reports whether the peer's next bytes are likely to take long to arrive.
func (l *Leg) ExpectsIdle() bool { return l.pollable != nil && l.shortWaits < manyShortWaits }

// AwaitReadable waits until Read would return at once, with bytes, the end or an error. It needs
// less stack than a wait inside Read.
func (l *Leg) AwaitReadable() {
	l.beginWait()
	err := l.pollable.await()
	l.Unpark()
	// Waiting has failed with an error, which the next Read returns too. ExpectsIdle must return
	// false now, so that the relay loop calls that Read and does not wait again.
	if err != nil {
		l.shortWaits = manyShortWaits
	}
}

// Park lets the IdlePoller p wait for bytes, so that no goroutine has to wait. p calls the function
// wake when Read would return bytes, the end or an error. The function wake must call Unpark first.
// If Park returns false, wake is never called.
func (l *Leg) Park(p *IdlePoller, wake func()) bool {
	l.beginWait() // call it before park, because the function wake may run before park returns
	if l.pollable.park(p, wake) {
		return true
	}
	l.reading.Store(false)
	return false
}

// beginWait records that the leg's reader begins to wait outside Read, in AwaitReadable or Park.
func (l *Leg) beginWait() {
	l.waitingSince = time.Now()
	l.reading.Store(true)
}

// Unpark ends a wait for bytes that AwaitReadable or Park began. It is called before the next Read.
func (l *Leg) Unpark() {
	l.reading.Store(false)
	l.noteWait(time.Since(l.waitingSince))
	l.pollable.resetDrained()
}

// AllowInterrupts sets whether the leg's relay loop can handle a Read that the idle timer has
// interrupted. Only the leg's reader calls it.
func (l *Leg) AllowInterrupts(can bool) { l.idle.allowed = can }

// startIdleTimer starts the timer that detects when the leg has become idle, if the leg is busy
// now. Read calls it first.
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

// idleTimerFired interrupts the leg's Read if that Read has waited since the timer was started or
// last fired.
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
