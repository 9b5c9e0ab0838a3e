package leg

import "edge/streams"

// hold writes b to the connection, whose writeBuffer keeps back what fits. The caller holds l.mu,
// and l.pollable is not nil.
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

// Flush writes the bytes that were kept back. If there are none, it does not wait for other
// goroutines that write, because the relay loop must continue to read.
func (l *Leg) Flush() error {
	if !l.holding.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flush()
}

// flush is Flush for a caller that holds l.mu.
func (l *Leg) flush() error {
	if !l.holding.Load() {
		return nil
	}
	l.holding.Store(false)
	return l.pollable.flush()
}

// write writes b at once. The caller holds l.mu.
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

// writesAtOnce reports whether a write of n bytes should skip the writeBuffer: the bytes fit in few
// TLS records, and no bytes are kept back that could leave together with them. The caller holds
// l.mu.
func (l *Leg) writesAtOnce(n int) bool {
	if l.pollable == nil {
		return true
	}
	return n < streams.Small && !l.holding.Load()
}

// WriteRoom implements streams.Writer. It writes the replies (such as pongs) that wait to be sent,
// and then b[off:]. The order matters: the accept of a stream is a reply and must precede the
// stream's data.
func (l *Leg) WriteRoom(b []byte, off int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writeReplies(); err != nil {
		return err
	}
	return l.write(b[off:])
}

// WritePart writes b, which may be a part of a frame. If the parameter between is false, b ends
// inside a frame: replies and keepalives are then sent after the rest of the frame. The parameter
// last marks the final write: replies that still wait are dropped after it.
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

// WriteLast writes the replies (such as pongs) that wait to be sent, and then b. Later writes are
// dropped, also those of WriteLast.
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

// writeReplies writes the waiting replies, such as pongs. If the last write ended inside a frame,
// it does nothing. The caller holds l.mu.
func (l *Leg) writeReplies() error {
	if l.midFrame {
		return nil
	}
	l.state.Lock()
	if len(l.replies) == 0 && len(l.pong) == 0 {
		l.state.Unlock()
		return nil
	}
	b := append(l.replies, l.pong...) //nolint:gocritic // l.replies and l.spare take turns
	l.replies, l.pong = l.spare[:0], l.pong[:0]
	l.state.Unlock()
	err := l.write(b)
	l.state.Lock()
	l.spare = b[:0]
	l.state.Unlock()
	return err
}

// Pong implements streams.Replier. b is an encoded pong, which replaces an older one that was not
// sent yet.
func (l *Leg) Pong(b []byte) {
	l.state.Lock()
	defer l.state.Unlock()
	l.pong = append(l.pong[:0], b...)
	l.startWriter()
}

// Reply implements streams.Replier. b is an encoded reply, which is sent between two frames. If too
// many bytes of replies wait, Reply returns streams.ErrReplies.
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

// ExpectPong returns a channel that is closed when the peer sends a WebSocket pong with this
// payload. Call it before the ping is written, and at most once.
func (l *Leg) ExpectPong(payload string) <-chan struct{} {
	l.state.Lock()
	defer l.state.Unlock()
	l.expected = &expectedPong{payload, make(chan struct{})}
	return l.expected.arrived
}

// Ponged implements streams.PongReceiver.
func (l *Leg) Ponged(payload []byte) {
	l.state.Lock()
	defer l.state.Unlock()
	if l.expected != nil && string(payload) == l.expected.payload {
		close(l.expected.arrived)
		l.expected = nil
	}
}

// Keepalive sends a keepalive to the peer. If edge does not read from the peer at the moment, the
// peer's pings may lie unread behind data. Then Keepalive also sends a pong that the peer did not
// request.
func (l *Leg) Keepalive() {
	if l.appendKeepalive == nil {
		return
	}
	l.state.Lock()
	defer l.state.Unlock()
	// If more replies wait, the peer does not read, and gets no more pings.
	if len(l.replies) < maxReplies/2 {
		l.replies = l.appendKeepalive(l.replies, !l.reading.Load())
		l.startWriter()
	}
}

// Probe writes a keepalive at once, to find out whether the peer is still connected. It writes
// nothing while another goroutine is writing.
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

// startWriter starts a goroutine that writes the waiting replies, unless such a goroutine is about
// to write. The goroutine is short-lived, and each leg has at most one. A relay loop that queues a
// reply, such as a pong, therefore never waits for a write. The caller holds l.state.
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
	l.writing = false // later replies start another goroutine
	l.state.Unlock()
	if l.writeReplies() != nil && l.onLost != nil {
		l.onLost()
	}
}
