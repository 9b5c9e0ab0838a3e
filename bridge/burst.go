package bridge

import "edge/streams"

// A burst is a leg as its relay loop writes it: what the loop says between two
// waits for its source is kept back, up to corkSize, and leaves in one write. The
// loop releases the leg before it waits. Whoever else writes to the leg writes at
// once, and what was kept back leaves before. A small write that would begin a
// burst leaves at once: sinks collect small frames themselves, so it is all there is.
type burst struct{ *leg }

// WriteRoom implements streams.Writer.
func (b burst) WriteRoom(p []byte, off int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writeReplies(); err != nil {
		return err
	}
	if b.poll == nil || !b.kept.Load() && len(p)-off < streams.Small {
		return b.write(p[off:])
	}
	return b.keep(p[off:])
}

// keep writes b, but for what the leg's cork keeps back of it; mu held, poll not
// nil.
func (l *leg) keep(b []byte) error {
	if l.said {
		return nil
	}
	if !l.kept.Load() {
		l.poll.put()
		l.kept.Store(true)
	}
	n, err := l.conn.Write(b)
	l.out.Add(int64(n))
	return err
}

// release writes what was kept back. Where that is nothing it does not wait for whoever
// else writes: the loop must read on.
func (l *leg) release() error {
	if !l.kept.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pull()
}

// pull is release with mu held.
func (l *leg) pull() error {
	if !l.kept.Load() {
		return nil
	}
	l.kept.Store(false)
	return l.poll.pull()
}

// write writes b at once, mu held.
func (l *leg) write(b []byte) error {
	if l.said {
		return nil
	}
	if l.poll == nil || !l.kept.Load() && len(b) < streams.Small { // no more than a TLS record or two
		n, err := l.conn.Write(b)
		l.out.Add(int64(n))
		return err
	}
	err := l.keep(b)
	if late := l.pull(); err == nil {
		err = late
	}
	return err
}
