package leg

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"edge/streams"
)

// burstLeg returns a leg, one connection of a session, and a record of the writes on it.
func burstLeg(t *testing.T) (*Leg, *writes) {
	c, _ := loopback(t)
	l, w := New(c, nil, nil), new(writes)
	c.writeBuffer.conn = w
	return l, w
}

// TestBurst checks when the bytes leave that a relay loop writes to a leg: at the latest when the
// loop flushes the leg, and before the bytes that another goroutine writes later. A small write is
// kept back only after a large one.
func TestBurst(t *testing.T) {
	l, w := burstLeg(t)
	say := func(to streams.Writer, what byte, size int) {
		if err := to.WriteRoom(bytes.Repeat([]byte{what}, 4+size), 4); err != nil {
			t.Fatal(err)
		}
	}
	// Append the reply here instead of calling the method Reply, which would also start a goroutine
	// that writes the reply.
	reply := func() { l.replies = append(l.replies, "reply"...) }
	release := func() {
		for range 2 {
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	const much = streams.Small
	reply()
	say(l.RelayWriter(), 'a', much)
	say(l.RelayWriter(), 'b', 1)
	say(l.RelayWriter(), 'c', much)
	if len(w.said) != 1 {
		t.Errorf("%d writes before the release", len(w.said))
	}
	release()
	say(l, 'd', much)
	say(l.RelayWriter(), 'e', much)
	say(l, 'f', 1)
	say(l.RelayWriter(), 'g', 1)
	say(l.RelayWriter(), 'h', much)
	reply()
	say(l.RelayWriter(), 'i', 1)
	release()
	if got, want := w.lengths(), []int{5, much + 1 + much, much, much + 1, 1, much + 5, 1}; !slices.Equal(got, want) {
		t.Errorf("writes of %v, want %v", got, want)
	}
	if got := string(slices.Compact([]byte(strings.Join(w.said, "")))); got != "replyabcdefghreplyi" {
		t.Errorf("written in the order %q", got)
	}
	if n := l.out.Load(); n != 5*much+4+10 {
		t.Errorf("the leg counts %d bytes", n)
	}
}
