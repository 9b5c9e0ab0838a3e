package leg

import "time"

// Silent returns how many calls of Silent in a row have found that the leg's reader waits and that
// no new bytes have arrived. Only one goroutine may call it.
func (l *Leg) Silent() int {
	in := l.in.Load()
	if in != l.lastRead || !l.reading.Load() {
		l.lastRead, l.silentChecks = in, 0
	} else {
		l.silentChecks++
	}
	return l.silentChecks
}

// Read reads bytes that the peer has sent. Only the relay loop of the leg calls it.
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
	// If the number of Reads on the TCP connection has not changed, TLS served this Read from its
	// own buffer, and this Read did not wait for bytes.
	if l.pollable != nil && l.pollable.readWaitCount() != waits {
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

// TryRead implements streams.Trier: it reads the bytes that have arrived, without waiting for more.
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

// Unsent returns the number of bytes that the peer has not acknowledged, or 0 if that is not known.
func (l *Leg) Unsent() int {
	if l.pollable == nil {
		return 0
	}
	return l.pollable.unsent()
}
