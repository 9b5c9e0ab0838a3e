package leg

import "time"

// Silent counts how often in a row it was asked while the leg's reader waited, and
// nothing had come. One goroutine asks.
func (l *Leg) Silent() int {
	in := l.in.Load()
	if in != l.lastRead || !l.reading.Load() {
		l.lastRead, l.silentChecks = in, 0
	} else {
		l.silentChecks++
	}
	return l.silentChecks
}

// Read reads from the peer. One goroutine does, the relay loop of the leg.
func (l *Leg) Read(b []byte) (int, error) {
	var waits int
	if l.pollable != nil {
		waits = l.pollable.readWaitCount()
		l.startIdleTimer()
	}
	l.reading.Store(true)
	begin := time.Now()
	n, err := l.Conn.Read(b)
	l.reading.Store(false)
	if l.pollable != nil && l.pollable.readWaitCount() != waits { // what TLS had in hand already was no wait
		d := time.Since(begin)
		l.noteWait(d)
		if l.moderator.noteWait(d, n, l.out.Load()) {
			l.pollable.gatherFor(moderation)
		}
	}
	if n > 0 {
		l.in.Add(int64(n))
	}
	return n, err
}

// TryRead implements streams.Trier.
func (l *Leg) TryRead(b []byte, again bool) (int, error) {
	if l.pollable == nil {
		return 0, errWouldBlock
	}
	l.pollable.setNonBlocking(true, again)
	n, err := l.Conn.Read(b)
	l.pollable.setNonBlocking(false, false)
	if n > 0 {
		l.in.Add(int64(n))
	}
	return n, err
}

// Unsent is how many bytes the peer has not taken yet, as far as that is known.
func (l *Leg) Unsent() int {
	if l.pollable == nil {
		return 0
	}
	return l.pollable.unsent()
}
