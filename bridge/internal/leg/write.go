package leg

import "edge/streams"

// hold writes b, but for what the leg's writeBuffer keeps back of it; mu held, poll not
// nil.
func (l *Leg) hold(b []byte) error {
	if l.lastWritten {
		return nil
	}
	if !l.holding.Load() {
		l.pollable.hold()
		l.holding.Store(true)
	}
	n, err := l.Conn.Write(b)
	l.out.Add(int64(n))
	return err
}

// Flush writes what was kept back. Where that is nothing it does not wait for whoever
// else writes: the loop must read on.
func (l *Leg) Flush() error {
	if !l.holding.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flush()
}

// flush is release with mu held.
func (l *Leg) flush() error {
	if !l.holding.Load() {
		return nil
	}
	l.holding.Store(false)
	return l.pollable.flush()
}

// write writes b at once, mu held.
func (l *Leg) write(b []byte) error {
	if l.lastWritten {
		return nil
	}
	if l.writesAtOnce(len(b)) {
		n, err := l.Conn.Write(b)
		l.out.Add(int64(n))
		return err
	}
	err := l.hold(b)
	if late := l.flush(); err == nil {
		err = late
	}
	return err
}

// writesAtOnce tells whether a write of n bytes is not worth a buffer, mu held: it is no more than a TLS record or two, and
// nothing is kept back that it could leave with.
func (l *Leg) writesAtOnce(n int) bool {
	if l.pollable == nil {
		return true
	}
	return n < streams.Small && !l.holding.Load()
}

// WriteRoom implements streams.Writer: what waits, and then b[off:]. A stream's
// accept must not come after its data.
func (l *Leg) WriteRoom(b []byte, off int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writeReplies(); err != nil {
		return err
	}
	return l.write(b[off:])
}

// WritePart writes what may be a part of a frame. Unless it ends between two
// frames, answers and keepalives wait for the rest. After the last part they are
// dropped.
func (l *Leg) WritePart(b []byte, between, last bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writeReplies(); err != nil {
		return err
	}
	l.midFrame = !between
	if err := l.write(b); err != nil || !between {
		return err
	}
	if last {
		l.state.Lock()
		l.replies, l.pong = l.replies[:0], l.pong[:0]
		l.state.Unlock()
		return nil
	}
	return l.writeReplies()
}

// WriteLast writes b, after what waits. Whatever is written later is dropped, another last word too.
func (l *Leg) WriteLast(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lastWritten {
		return nil
	}
	defer func() { l.lastWritten = true }()
	if err := l.writeReplies(); err != nil {
		return err
	}
	return l.write(b)
}

// writeReplies writes what waits, mu held; within a frame it goes on waiting.
func (l *Leg) writeReplies() error {
	if l.midFrame {
		return nil
	}
	l.state.Lock()
	if len(l.replies) == 0 && len(l.pong) == 0 {
		l.state.Unlock()
		return nil
	}
	b := append(l.replies, l.pong...)
	l.replies, l.pong = l.spare[:0], l.pong[:0]
	l.state.Unlock()
	err := l.write(b)
	l.state.Lock()
	l.spare = b[:0]
	l.state.Unlock()
	return err
}

// Pong implements streams.Replier.
func (l *Leg) Pong(b []byte) {
	l.state.Lock()
	defer l.state.Unlock()
	l.pong = append(l.pong[:0], b...)
	l.startWriter()
}

// Reply implements streams.Replier.
func (l *Leg) Reply(b []byte) error {
	l.state.Lock()
	defer l.state.Unlock()
	if len(l.replies)+len(b) > maxReplies+l.extraReplies {
		return streams.ErrReplies
	}
	l.replies = append(l.replies, b...)
	l.startWriter()
	return nil
}

// Keepalive says something to the peer, and where its pings may lie unread
// behind data that we do not take at the moment, a pong that it did not ask for.
func (l *Leg) Keepalive() {
	if l.appendKeepalive == nil {
		return
	}
	l.state.Lock()
	defer l.state.Unlock()
	if len(l.replies) < maxReplies/2 { // a peer that takes nothing needs no more pings
		l.replies = l.appendKeepalive(l.replies, !l.reading.Load())
		l.startWriter()
	}
}

// Probe writes a keepalive at once, unless somebody else writes.
func (l *Leg) Probe() error {
	if !l.mu.TryLock() {
		return nil
	}
	defer l.mu.Unlock()
	l.state.Lock()
	b := l.appendKeepalive(nil, false)
	l.state.Unlock()
	return l.write(b)
}

// startWriter makes sure that somebody writes what waits. The goroutine is short-lived
// and at most one for each leg, so that no reader ever waits for a write.
func (l *Leg) startWriter() {
	if l.writing || l.closed {
		return
	}
	l.writing = true
	l.done.Add(1)
	if l.writeReplyLoop == nil {
		l.writeReplyLoop = l.writeWaiting
	}
	go l.writeReplyLoop()
}

func (l *Leg) writeWaiting() {
	defer l.done.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Lock()
	l.writing = false // what comes from here on wakes another
	l.state.Unlock()
	if l.writeReplies() != nil && l.onLost != nil {
		l.onLost()
	}
}
