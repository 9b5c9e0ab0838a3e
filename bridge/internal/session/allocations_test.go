//go:build !race

package session

import (
	"io"
	"testing"

	"edge/streams"
)

// sameFrame returns the same frame several times, as the source of a relay loop. The field left is
// the number of times that remain. It is also a sink, which accepts every frame and drops it.
type sameFrame struct {
	frame streams.Frame
	left  int
}

func (s *sameFrame) Next() (streams.Frame, error) {
	if s.left == 0 {
		return streams.Frame{}, io.EOF
	}
	s.left--
	return s.frame, nil
}

func (s *sameFrame) Write(streams.Frame) error { return nil }
func (s *sameFrame) Flush() error              { return nil }

// TestAllocations checks that relaying a frame allocates no memory.
func TestAllocations(t *testing.T) {
	ends := &sameFrame{frame: streams.Frame{Kind: streams.Data, Buf: make([]byte, streams.Headroom+1), Off: streams.Headroom}}
	d := &direction{src: ends, sink: ends}
	seen := 0
	see := func(f *streams.Frame) (bool, error) {
		seen += len(f.Payload())
		return true, nil
	}
	const frames, runs = 1000, 10
	n := testing.AllocsPerRun(runs, func() {
		ends.left = frames
		if err := d.run(see); err != io.EOF {
			t.Fatal(err)
		}
	})
	if n != 0 || seen != (runs+1)*frames {
		t.Errorf("%v allocations for %d frames of which %d were seen", n, frames, seen)
	}
}
