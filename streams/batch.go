package streams

// Batch collects what a sink says in small pieces, to write it at once. The
// zero Batch with W set is ready; it holds a buffer only while it holds bytes.
type Batch struct {
	W Writer

	buf *Buffer
	end int
}

// Len is the number of bytes held back.
func (b *Batch) Len() int {
	if b.buf == nil {
		return 0
	}
	return b.end - Headroom
}

// Grow appends n bytes (at most MaxData) and returns them for the caller to
// fill. What does not fit any more is written first.
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

// Head returns the n bytes of room right before what is held back, for a header
// that is known only when the batch is complete; see Flush.
func (b *Batch) Head(n int) []byte { return b.buf[Headroom-n : Headroom] }

// Flush writes what is held back, with the last head bytes of the room before
// it, and gives the buffer back. Without bytes it does nothing.
func (b *Batch) Flush(head int) error {
	if b.buf == nil {
		return nil
	}
	err := b.W.WriteRoom(b.buf[:b.end], Headroom-head)
	Return(b.buf)
	b.buf = nil
	return err
}

// Drop gives the buffer back unwritten.
func (b *Batch) Drop() {
	if b.buf != nil {
		Return(b.buf)
		b.buf = nil
	}
}
