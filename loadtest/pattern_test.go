package main

import (
	"bytes"
	"testing"
)

// TestPattern checks that each part of a session's byte sequence is equal to that part of the whole
// sequence. It also checks that differs finds a changed byte, a lost byte, and bytes of another
// session.
func TestPattern(t *testing.T) {
	const n = 100
	p := pattern(7)
	all := make([]byte, n)
	p.fill(all, 0)
	for a := range n {
		for b := a; b <= n; b++ {
			piece := make([]byte, b-a)
			p.fill(piece, uint64(a))
			if !bytes.Equal(piece, all[a:b]) {
				t.Fatalf("[%d:%d] differs", a, b)
			}
			if at := p.differs(piece, uint64(a)); at != -1 {
				t.Fatalf("[%d:%d] differs at %d", a, b, at)
			}
			if len(piece) == 0 {
				continue
			}
			piece[len(piece)/2] ^= 1
			if at := p.differs(piece, uint64(a)); at != len(piece)/2 {
				t.Fatalf("[%d:%d] differs at %d, not %d", a, b, at, len(piece)/2)
			}
		}
	}
	for lost := range n / 2 {
		if p.differs(append(bytes.Clone(all[:lost]), all[lost+1:]...), 0) < lost {
			t.Errorf("the loss of byte %d is not detected", lost)
		}
	}
	if pattern(8).differs(all, 0) == -1 {
		t.Error("two sessions have the same sequence")
	}
}

func BenchmarkPattern(b *testing.B) {
	buf := make([]byte, 32<<10)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for i := range b.N {
		pattern(i).fill(buf, 3)
		if pattern(i).differs(buf, 3) != -1 {
			b.Fatal("differs")
		}
	}
}
