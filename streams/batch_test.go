package streams

import (
	"bytes"
	"errors"
	"testing"
)

// recorder is a Writer that stores what is written, one entry per write.
type recorder struct {
	out [][]byte
	err error
}

func (w *recorder) WriteRoom(b []byte, off int) error {
	w.out = append(w.out, bytes.Clone(b[off:]))
	clear(b[:off])
	return w.err
}

func add(t *testing.T, b *Batch, s string) {
	t.Helper()
	to, err := b.Grow(len(s))
	if err != nil || len(to) != len(s) {
		t.Fatalf("Grow(%d): %d bytes, %v", len(s), len(to), err)
	}
	copy(to, s)
}

func TestBatch(t *testing.T) {
	w := &recorder{}
	b := Batch{W: w}
	if err := b.Flush(0); err != nil || len(w.out) != 0 || b.Len() != 0 {
		t.Errorf("an empty batch wrote %q, %v", w.out, err)
	}
	add(t, &b, "ab")
	add(t, &b, "")
	add(t, &b, "c")
	if b.Len() != 3 || len(w.out) != 0 {
		t.Errorf("%d bytes held back, %q written", b.Len(), w.out)
	}
	if err := b.Flush(0); err != nil || b.Len() != 0 || b.buf != nil {
		t.Errorf("flushed: %v, %d bytes held back", err, b.Len())
	}
	add(t, &b, "de")
	copy(b.Head(Headroom), bytes.Repeat([]byte("x"), Headroom))
	copy(b.Head(2), "[]")
	b.Flush(2)
	add(t, &b, "f")
	b.Drop()
	if b.Len() != 0 || b.buf != nil {
		t.Error("Drop keeps bytes")
	}
	b.Drop()
	add(t, &b, "g")
	b.Flush(0)
	if want := [][]byte{[]byte("abc"), []byte("[]de"), []byte("g")}; len(w.out) != 3 || !bytes.Equal(bytes.Join(w.out, []byte("|")), bytes.Join(want, []byte("|"))) {
		t.Errorf("wrote %q", w.out)
	}
}

// TestBatchFull checks that Grow writes the collected bytes, in order, when the Batch's buffer is
// full.
func TestBatchFull(t *testing.T) {
	w := &recorder{}
	b := Batch{W: w}
	all := sequence(5 * MaxData)
	for left := all; len(left) > 0; {
		n := min(len(left), 1000)
		add(t, &b, string(left[:n]))
		left = left[n:]
	}
	add(t, &b, string(all[:MaxData]))
	b.Flush(0)
	if !bytes.Equal(bytes.Join(w.out, nil), append(bytes.Clone(all), all[:MaxData]...)) {
		t.Error("bytes lost or out of order")
	}
	for _, p := range w.out {
		if len(p) > bufferSize-Headroom {
			t.Errorf("wrote %d bytes at once", len(p))
		}
	}
	perWrite := MaxNeed / 1000 * 1000
	// The rest of all after the full buffers, and the last piece of MaxData bytes, fit in one more
	// write.
	if want := len(all)/perWrite + 1; len(w.out) != want {
		t.Errorf("%d writes, want %d", len(w.out), want)
	}
}

// TestBatchExact checks that a Batch collects up to MaxNeed bytes, and writes only when it has no
// space for another byte.
func TestBatchExact(t *testing.T) {
	w := &recorder{}
	b := Batch{W: w}
	add(t, &b, string(sequence(MaxData)))
	add(t, &b, string(sequence(MaxNeed-MaxData)))
	if len(w.out) != 0 || b.Len() != MaxNeed {
		t.Errorf("%d bytes held back, %d writes", b.Len(), len(w.out))
	}
	add(t, &b, "x")
	if len(w.out) != 1 || len(w.out[0]) != MaxNeed || b.Len() != 1 {
		t.Errorf("%d bytes held back, %d writes", b.Len(), len(w.out))
	}
	b.Drop()
}

func TestBatchError(t *testing.T) {
	broken := errors.New("broken")
	b := Batch{W: &recorder{err: broken}}
	add(t, &b, "a")
	if err := b.Flush(0); err != broken || b.buf != nil {
		t.Errorf("%v, buffer given back: %v", err, b.buf == nil)
	}
	add(t, &b, "b")
	if _, err := b.Grow(MaxData); err != nil {
		t.Fatal("it fits")
	}
	if _, err := b.Grow(MaxData); err != broken {
		t.Error(err)
	}
}
