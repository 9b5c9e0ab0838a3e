package session

import (
	"errors"

	"edge/streams"
)

// loop is a direction that leaves its goroutine while nothing comes, and goes on in
// another. The stack of one that has relayed is 8 KiB, and a wait deep inside TLS
// keeps it. The handler's idlePoller waits instead, for all; without one, a goroutine
// that begins anew, with 2 KiB.
//
// There is one goroutine at a time, or none.
type loop struct {
	*direction
	session *session
	relay   func() error // until the source ends, or for now: streams.ErrIdle
	end     func(error)  // what follows the source's end
	atEnd   func()       // called last of all, also after a panic

	// What a new goroutine does, made once, since each wait has one.
	resume          func() // goes on
	awaitThenResume func() // waits, and goes on
}

// run relays, and returns true if the loop goes on elsewhere.
func (l *loop) run() (left bool) {
	l.mayIdle = true
	l.fromLeg.AllowInterrupts(true)
	err := l.relay()
	if errors.Is(err, streams.ErrIdle) {
		l.wait()
		return true
	}
	l.mayIdle = false // what is still to be read is read here
	l.fromLeg.AllowInterrupts(false)
	l.end(err)
	return false
}

// wait leaves the wait to others; l is theirs when it returns.
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

// runThen is what a goroutine of a session does: work, and, unless that was left to
// another goroutine, over.
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
