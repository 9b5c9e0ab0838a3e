package bridge

import "edge/streams"

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
	over    func()       // called last of all, also after a panic

	// What a new goroutine does, made once, since each wait has one.
	woken func() // goes on
	await func() // waits, and goes on
}

// run relays, and returns true if the loop goes on elsewhere.
func (l *loop) run() (left bool) {
	l.rests, l.from.lull.rests = true, true
	err := l.relay()
	if err == streams.ErrIdle {
		l.rest()
		return true
	}
	l.rests, l.from.lull.rests = false, false // what is still to be read is read here
	l.end(err)
	return false
}

// rest leaves the wait to others; l is theirs when it returns.
func (l *loop) rest() {
	if l.woken == nil {
		woken := func() (left bool) {
			l.from.unpark()
			return l.run()
		}
		await := func() (left bool) {
			l.from.await()
			return l.run()
		}
		l.woken = func() { l.session.carry(woken, l.over) }
		l.await = func() { l.session.carry(await, l.over) }
	}
	if !l.from.park(l.session.idlers, l.woken) {
		go l.await()
	}
}

// carry is what a goroutine of a session does: work, and, unless that was left to
// another goroutine, over.
func (s *session) carry(work func() (left bool), over func()) {
	left := false
	defer func() {
		if !left {
			over()
		}
	}()
	defer s.contain()
	left = work()
}
