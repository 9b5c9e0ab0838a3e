package streams

// Batch collects the small frames of a sink (a writer of frames), to write them in one write. The
// zero Batch with its field W set is ready to use. It holds a buffer only while it holds bytes.
type Batch struct {
	W Writer

	buf *Buffer
	end int
}

// Len returns the number of collected bytes.
func (b *Batch) Len() int {
	if b.buf == nil {
		return 0
	}
	return b.end - Headroom
}

// Grow appends n bytes (at most MaxData) to the collected bytes and returns them for the caller to
// fill. If the buffer has no space for n bytes, Grow first writes the collected bytes.
func (b *Batch) Grow(n int) ([]byte, error) {
	if b.buf != nil && b.end+n > len(b.buf) {
		if err := b.Flush(0); err != nil {
			return nil, err
		}
	}
	if b.buf == nil {
		b.buf, b.end = Borrow(), Headroom
	}
	b.end += n
	return b.buf[b.end-n : b.end], nil
}

// Head returns the n bytes directly before the collected bytes. They are for a header that is known
// only when the Batch is complete; see Flush.
func (b *Batch) Head(n int) []byte { return b.buf[Headroom-n : Headroom] }

// Flush writes the collected bytes, preceded by a header of head bytes (see Head), and returns the
// Batch's buffer to the pool. If the Batch has no collected bytes, Flush does nothing.
func (b *Batch) Flush(head int) error {
	if b.buf == nil {
		return nil
	}
	err := b.W.WriteRoom(b.buf[:b.end], Headroom-head)
	Return(b.buf)
	b.buf = nil
	return err
}

// Drop discards the collected bytes and returns the Batch's buffer to the pool.
func (b *Batch) Drop() {
	if b.buf != nil {
		Return(b.buf)
		b.buf = nil
	}
}
