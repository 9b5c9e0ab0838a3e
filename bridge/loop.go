package bridge

import "edge/streams"

// loop is a direction that leaves its goroutine while nothing comes, and goes on in
// another. The stack of one that has relayed is 8 KiB, and a wait deep inside TLS
// keeps it; the one that waits instead begins anew, with 2 KiB.
//
// There is one goroutine at a time.
type loop struct {
	*direction
	session *session
	relay   func() error // until the source ends, or for now: streams.ErrIdle
	end     func(error)  // what follows the source's end
	over    func()       // called last of all, also after a panic
	again   func()       // what a new goroutine does; made once, since each wait has one
}

// run relays, and returns true if the loop goes on elsewhere.
func (l *loop) run() (left bool) {
	l.rests, l.from.lull.rests = true, true
	err := l.relay()
	if err == streams.ErrIdle {
		if l.again == nil {
			rest := l.rest
			l.again = func() { l.session.carry(rest, l.over) }
		}
		go l.again()
		return true
	}
	l.rests, l.from.lull.rests = false, false // what is still to be read is read here
	l.end(err)
	return false
}

func (l *loop) rest() (left bool) {
	l.from.await()
	return l.run()
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
