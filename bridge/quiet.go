package bridge

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	longWait  = time.Second
	manyBrief = 8 // waits in a row: then bytes come often
	// lullTime is how long a busy leg is silent, at least, before its loop is called back to rest; twice that at most.
	lullTime = longWait
)

// waited takes note of a wait of d.
func (l *leg) waited(d time.Duration) {
	switch {
	case d >= longWait:
		l.brief = 0
	case l.brief < manyBrief:
		l.brief++
	}
}

// isQuiet tells whether the next bytes are likely to be long in coming.
func (l *leg) isQuiet() bool { return l.poll != nil && l.brief < manyBrief }

// await returns when Read has something to say. It takes little stack.
func (l *leg) await() {
	l.reading.Store(true)
	begin := time.Now()
	err := l.poll.await()
	l.reading.Store(false)
	l.waited(time.Since(begin))
	l.poll.askAgain()
	if err != nil { // which Read tells; until then nobody is to come back here
		l.brief = manyBrief
	}
}

// park leaves the wait to p, which then has wake called when Read has something to say: it begins with unpark. False: it
// never is called.
func (l *leg) park(p *idlePoller, wake func()) bool {
	l.parked = time.Now()
	l.reading.Store(true) // wake may come before park is back
	if l.poll.park(p, wake) {
		return true
	}
	l.reading.Store(false)
	return false
}

func (l *leg) unpark() {
	l.reading.Store(false)
	l.waited(time.Since(l.parked))
	l.poll.askAgain()
}

// A lull is what ends a burst. The loop of a leg whose bytes come often waits deep inside TLS, which keeps 8 KiB of stack;
// it is called back from there when nothing has come for a while.
type lull struct {
	rests bool        // the leg's loop can; its reader's own
	busy  atomic.Bool // the timer runs

	mu     sync.Mutex
	timer  *time.Timer // nil: not busy so far
	in     int64       // the leg's, when it last fired
	closed bool
}

// watchLull is called before each Read of a leg.
func (l *leg) watchLull() {
	if !l.lull.rests || l.brief < manyBrief || l.lull.busy.Load() {
		return
	}
	l.lull.mu.Lock()
	defer l.lull.mu.Unlock()
	switch {
	case l.lull.closed:
		return
	case l.lull.timer == nil:
		l.lull.timer = time.AfterFunc(lullTime, l.endLull)
	default:
		l.lull.timer.Reset(lullTime)
	}
	l.lull.in = l.in.Load()
	l.lull.busy.Store(true)
}

// endLull rouses a reader that has waited since the timer fired last.
func (l *leg) endLull() {
	l.lull.mu.Lock()
	defer l.lull.mu.Unlock()
	in := l.in.Load()
	switch {
	case l.lull.closed:
	case in != l.lull.in || !l.reading.Load():
		l.lull.in = in
		l.lull.timer.Reset(lullTime)
	default:
		l.lull.busy.Store(false)
		l.poll.rouse()
	}
}

func (u *lull) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	if u.timer != nil {
		u.timer.Stop()
	}
}
