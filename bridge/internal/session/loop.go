package session

import (
	"errors"

	"edge/streams"
)

// loop runs one direction of a session's relay. It gives up its goroutine while no bytes arrive,
// and later continues in another one. A goroutine that has relayed has a stack of 8 KiB, and a wait
// deep inside TLS keeps it. Instead, the handler's IdlePoller waits for all such loops. Without an
// IdlePoller, a new goroutine with a stack of 2 KiB waits.
//
// A loop has at most one goroutine at a time.
type loop struct {
	*direction
	session *session
	relay   func() error // relays frames until the input ends, or returns streams.ErrIdle
	end     func(error)  // called with the error after which the loop reads no more frames
	atEnd   func()       // called when the loop has ended and does not continue, also after a panic

	// resume and awaitThenResume are functions for new goroutines. They are allocated once, because
	// each wait starts a goroutine.
	resume          func() // runs the loop again
	awaitThenResume func() // waits until bytes arrive, then runs the loop again
}

// run relays. It returns true if the loop will continue in another goroutine.
func (l *loop) run() (left bool) {
	l.mayIdle = true
	l.fromLeg.AllowInterrupts(true)
	err := l.relay()
	if errors.Is(err, streams.ErrIdle) {
		l.wait()
		return true
	}
	// From here on, this goroutine reads all frames that remain, and the loop does not give up the
	// goroutine.
	l.mayIdle = false
	l.fromLeg.AllowInterrupts(false)
	l.end(err)
	return false
}

// wait arranges that the loop continues when bytes arrive. When it returns, another goroutine may
// already use l.
func (l *loop) wait() {
	if l.resume == nil {
		woken := func() (left bool) {
			l.fromLeg.Unpark()
			return l.run()
		}
		await := func() (left bool) {
			l.fromLeg.AwaitReadable()
			return l.run()
		}
		l.resume = func() { l.session.runThen(woken, l.atEnd) }
		l.awaitThenResume = func() { l.session.runThen(await, l.atEnd) }
	}
	if !l.fromLeg.Park(l.session.idlePoller, l.resume) {
		go l.awaitThenResume()
	}
}

// runThen runs work on a goroutine of the session. When work returns, runThen calls over, unless
// work has returned true because another goroutine continues and calls over.
func (s *session) runThen(work func() (left bool), over func()) {
	left := false
	defer func() {
		if !left {
			over()
		}
	}()
	defer s.recoverPanic()
	left = work()
}
