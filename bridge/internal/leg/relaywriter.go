package leg

import "edge/streams"

// relayWriter is a leg (one of a session's two connections) as the relay loop writes to it. The
// loop reads frames from the other leg. What the loop writes between two waits for more frames is
// kept back, up to writeBufferSize bytes, and leaves in one write. The loop calls Flush on the leg
// before it waits.
//
// What other goroutines write leaves at once, after the bytes that were kept back. A small write of
// the loop also leaves at once if nothing is kept back: the loop's sink (its frame encoder) already
// collects small frames, so the leg has nothing to combine a small write with.
type relayWriter struct{ *Leg }

// RelayWriter returns the writer for the leg's relay loop. The leg keeps back what the loop writes
// there, so that several frames leave in one write.
func (l *Leg) RelayWriter() streams.Writer { return relayWriter{l} }

// WriteRoom implements streams.Writer. It first writes the replies (such as pongs) that wait to be
// sent. Then it writes p[off:], or keeps p[off:] back until the loop calls Flush.
func (w relayWriter) WriteRoom(p []byte, off int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.writeReplies(); err != nil {
		return err
	}
	if w.writesAtOnce(len(p) - off) {
		return w.write(p[off:])
	}
	return w.hold(p[off:])
}
