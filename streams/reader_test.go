package streams

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
)

func sequence(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)
	}
	return b
}

// cut is an io.Reader that returns one piece of the field left per Read.
type cut struct{ left [][]byte }

func (c *cut) Read(b []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.left[0])
	if c.left[0] = c.left[0][n:]; len(c.left[0]) == 0 {
		c.left = c.left[1:]
	}
	return n, nil
}

func cuts(b []byte, at ...int) io.Reader {
	c, from := &cut{}, 0
	for _, to := range append(at, len(b)) {
		if to > from {
			c.left = append(c.left, b[from:to])
			from = to
		}
	}
	return c
}

// take reads n bytes with Need and compares them with the parameter want. It then consumes them
// with Skip, checks the result of Room, and overwrites these bytes and the free bytes before them.
func take(r *Reader, n int, want []byte) error {
	got, err := r.Need(n)
	if err != nil {
		return fmt.Errorf("Need(%d): %w", n, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("Need(%d) = %.40q, want %.40q", n, got, want)
	}
	if r.Buffered() < n {
		return fmt.Errorf("%d bytes buffered of %d", r.Buffered(), n)
	}
	r.Skip(n)
	b, off := r.Room(n)
	if off < Headroom || !bytes.Equal(b[off:], want) {
		return fmt.Errorf("Room(%d): room of %d bytes before %.40q, want %.40q", n, off, b[off:], want)
	}
	clear(b)
	return nil
}

// TestReaderSplits checks that Need returns the right bytes, with free bytes before them, wherever
// the input is cut into two or three pieces.
func TestReaderSplits(t *testing.T) {
	all := sequence(90)
	for _, needs := range [][]int{{90}, {2, 14, 40, 1, 33}, {1, 1, 1, 17, 70}, {45, 45}, {16, 16, 16, 16, 16, 10}} {
		for a := range all {
			for b := a; b < len(all); b++ {
				r := NewReader(cuts(all, a, b), nil)
				at := 0
				for _, n := range needs {
					if err := take(r, n, all[at:at+n]); err != nil {
						t.Fatalf("needs %v, cut at %d and %d: %v", needs, a, b, err)
					}
					at += n
				}
				if _, err := r.Need(1); err != io.EOF {
					t.Fatalf("needs %v, cut at %d and %d: %v at the end", needs, a, b, err)
				}
				r.Close()
			}
		}
	}
}

// TestReaderLarge checks that no byte changes when the Reader moves bytes to the beginning of its
// buffer. The test mixes small and large calls of Need with small and large reads.
func TestReaderLarge(t *testing.T) {
	needs := []int{8, MaxData, 8, 1, MaxData, 14, Small - 1, 2, Small, 3, MaxNeed, 16, 17, MaxNeed, MaxNeed, 5, 20000, 20000, 1, Small + 1}
	total := 0
	for _, n := range needs {
		total += n
	}
	all := sequence(3 * total)
	sources := map[string]func(io.Reader) io.Reader{
		"at once":             func(r io.Reader) io.Reader { return r },
		"halves":              iotest.HalfReader,
		"bytes":               iotest.OneByteReader,
		"data with the error": iotest.DataErrReader,
		"records":             func(r io.Reader) io.Reader { return &atMost{r, 16 << 10} },
		"segments":            func(r io.Reader) io.Reader { return &atMost{r, 1448} },
	}
	for name, source := range sources {
		r := NewReader(source(bytes.NewReader(all)), nil)
		at := 0
		for range 3 {
			for _, n := range needs {
				if err := take(r, n, all[at:at+n]); err != nil {
					t.Fatalf("%s, at %d: %v", name, at, err)
				}
				at += n
			}
		}
		r.Close()
	}
}

type atMost struct {
	r io.Reader
	n int
}

func (a *atMost) Read(b []byte) (int, error) { return a.r.Read(b[:min(len(b), a.n)]) }

// TestReaderReads checks that several small calls of Need share one read, and that a large call of
// Need reads only its own bytes.
func TestReaderReads(t *testing.T) {
	src := &counting{r: bytes.NewReader(sequence(1 << 20))}
	r := NewReader(src, nil)
	defer r.Close()
	for range 1000 {
		for _, n := range []int{8, 5} { // sizes of a frame's header and of its payload
			if _, err := r.Need(n); err != nil {
				t.Fatal(err)
			}
			r.Skip(n)
		}
	}
	if src.n > 3 {
		t.Errorf("%d reads for 1000 small frames", src.n)
	}
	r.Skip(r.Buffered())
	if _, err := r.Need(MaxData); err != nil {
		t.Fatal(err)
	}
	if r.Buffered() != MaxData {
		t.Errorf("%d bytes buffered for a need of %d", r.Buffered(), MaxData)
	}
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(b []byte) (int, error) {
	c.n++
	return c.r.Read(b)
}

func TestReaderEnd(t *testing.T) {
	all := sequence(40)
	for n := range all {
		for _, need := range []int{1, 20, 40, 41, MaxNeed} {
			r := NewReader(bytes.NewReader(all[:n]), nil)
			_, err := r.Need(need)
			switch {
			case need <= n && err != nil,
				need > n && n == 0 && err != io.EOF,
				need > n && n > 0 && err != io.ErrUnexpectedEOF:
				t.Errorf("Need(%d) of %d bytes: %v", need, n, err)
			}
			if n > 0 && need > n { // the bytes that came before the error are not lost
				if err := take(r, n, all[:n]); err != nil {
					t.Errorf("after Need(%d) of %d bytes: %v", need, n, err)
				}
				if _, err := r.Need(1); err != io.EOF {
					t.Errorf("at the end: %v", err)
				}
			}
			r.Close()
		}
	}
}

// TestReaderAgain checks that Need can be called again after a read failed, and that no byte is
// lost.
func TestReaderAgain(t *testing.T) {
	all := sequence(60)
	deadline := errors.New("deadline")
	for n := range all {
		src := io.MultiReader(bytes.NewReader(all[:n]), iotest.ErrReader(deadline))
		r := NewReader(src, nil)
		if _, err := r.Need(len(all)); err != deadline {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		r.src = bytes.NewReader(all[n:])
		if err := take(r, len(all), all); err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		r.Close()
	}
}

func TestReaderNoProgress(t *testing.T) {
	r := NewReader(empty{}, nil)
	if _, err := r.Need(1); err != io.ErrNoProgress {
		t.Error(err)
	}
}

type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, nil }

// TestReaderIdle checks that a Reader holds no buffer while it waits for a frame, and that it calls
// beforeWait before each read that may block.
func TestReaderIdle(t *testing.T) {
	var r *Reader
	waits, reads, idle := 0, 0, 0
	src := readFunc(func(b []byte) (int, error) {
		reads++
		if waits != reads {
			t.Errorf("%d waits before read %d", waits, reads)
		}
		if r.Buffered() == 0 {
			idle++
			if r.buf != nil {
				t.Error("idle with a buffer")
			}
		}
		return len(b), nil
	})
	r = NewReader(src, func() error { waits++; return nil })
	for _, n := range []int{16, 16, 32, 10000, 100, MaxData} {
		if _, err := r.Need(n); err != nil {
			t.Fatal(err)
		}
		r.Skip(r.Buffered())
	}
	if idle != 6 {
		t.Errorf("idle %d times", idle)
	}
	r.Release()
	if r.buf != nil {
		t.Error("Release keeps an empty buffer")
	}
	if _, err := r.Need(20); err != nil {
		t.Fatal(err)
	}
	r.Release()
	if r.buf == nil {
		t.Error("Release drops unread bytes")
	}
	r.Close()
	r.Close()
	if r.buf != nil || r.Buffered() != 0 {
		t.Error("Close keeps something")
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

// TestReaderWaitFails checks that Need returns the error of beforeWait and reads nothing.
func TestReaderWaitFails(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(readFunc(func([]byte) (int, error) { t.Error("read"); return 0, io.EOF }), func() error { return broken })
	if _, err := r.Need(1); err != broken {
		t.Error(err)
	}
}

func TestReaderAllocations(t *testing.T) {
	src := &atMost{readFunc(func(b []byte) (int, error) { return len(b), nil }), 16 << 10}
	for _, n := range []int{1, 8, 100, Small, MaxData} {
		r := NewReader(src, func() error { return nil })
		if got := testing.AllocsPerRun(1000, func() {
			if _, err := r.Need(n); err != nil {
				t.Fatal(err)
			}
			r.Skip(n)
		}); got != 0 {
			t.Errorf("Need(%d): %v allocations", n, got)
		}
		r.Close()
	}
}
