package bridge

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"edge/streams"
	"edge/streams/ws"
)

// burstLeg is a leg whose writes are noted.
func burstLeg(t *testing.T) (*leg, *writes) {
	c, _ := loopback(t)
	w := new(writes)
	c.cork.conn = w
	return newLeg(c, nil, nil), w
}

// What a loop says leaves when it releases the leg, and before what anybody else
// says. Little is kept back after much only.
func TestBurst(t *testing.T) {
	l, w := burstLeg(t)
	say := func(to streams.Writer, what byte, size int) {
		if err := to.WriteRoom(bytes.Repeat([]byte{what}, 4+size), 4); err != nil {
			t.Fatal(err)
		}
	}
	reply := func() { l.replies = append(l.replies, "reply"...) } // as Reply leaves it, before anybody was woken
	release := func() {
		for range 2 {
			if err := l.release(); err != nil {
				t.Fatal(err)
			}
		}
	}
	const much = streams.Small
	reply()
	say(burst{l}, 'a', much)
	say(burst{l}, 'b', 1)
	say(burst{l}, 'c', much)
	if len(w.said) != 1 {
		t.Errorf("%d writes before the release", len(w.said))
	}
	release()
	say(l, 'd', much)
	say(burst{l}, 'e', much)
	say(l, 'f', 1)
	say(burst{l}, 'g', 1)
	say(burst{l}, 'h', much)
	reply()
	say(burst{l}, 'i', 1)
	release()
	if got, want := w.lengths(), []int{5, much + 1 + much, much, much + 1, 1, much + 5, 1}; !slices.Equal(got, want) {
		t.Errorf("writes of %v, want %v", got, want)
	}
	if got := string(slices.Compact([]byte(strings.Join(w.said, "")))); got != "replyabcdefghreplyi" {
		t.Errorf("written in the order %q", got)
	}
	if n := l.out.Load(); n != 5*much+4+10 {
		t.Errorf("it counts %d bytes", n)
	}
}

// waits is a source that waits where a frame without Kind stands.
type waits struct {
	frames []streams.Frame
	wait   func() error
}

func (s *waits) Next() (f streams.Frame, err error) {
	for f.Kind == 0 {
		if len(s.frames) == 0 {
			return f, io.EOF
		}
		f, s.frames = s.frames[0], s.frames[1:]
		if f.Kind == 0 {
			s.wait()
		}
	}
	return f, nil
}

// A relay loop keeps nothing back while it waits, when the peer says goodbye, and
// when it ends.
func TestBurstOfALoop(t *testing.T) {
	l, w := burstLeg(t)
	data := func(size int) streams.Frame {
		return streams.Frame{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdout}, Buf: make([]byte, streams.Headroom+size), Off: streams.Headroom}
	}
	const large, small = streams.MaxData, 1
	d := direction{sink: ws.NewExecServerSink(burst{l}, ws.V5Channel), to: l}
	d.src = &waits{wait: d.flush, frames: []streams.Frame{
		data(large), data(large), {}, {}, data(small), data(small), {}, data(large), data(small), {},
		data(large), {Kind: streams.Close}, data(large),
	}}
	var atClose int
	err := d.run(func(f *streams.Frame) (bool, error) {
		if f.Kind == streams.Close {
			atClose = len(w.said)
		}
		return f.Kind == streams.Data, nil
	})
	if err != io.EOF || d.broken != nil {
		t.Fatal(err, d.broken)
	}
	const of32K, of1 = 1 + 4 + large, 1 + 2 // the channel byte and a server's header
	want := []int{2 * of32K, of1 + 2*small, of32K + of1 + small, of32K, of32K}
	if got := w.lengths(); !slices.Equal(got, want) || atClose != 4 {
		t.Errorf("writes of %v, %d of them before the Close; want %v", got, atClose, want)
	}
}
