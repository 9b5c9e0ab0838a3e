package ws_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"edge/streams/ws"
)

// own is the payload of edge's own pings, which these tests send between the frames of a peer.
var own = [ws.OwnSize]byte{'e', 'd', 'g', 'e', 0, 0xff, '\r', '\n'}

// passed returns the bytes that a Passage passes on if it gets the parameter in as pieces of the
// given size. It also returns these bytes with a ping of edge's own wherever a ping is allowed.
func passed(in []byte, piece int, pings []byte) (out, pinged []byte, pingCount int) {
	p := ws.Passage{Own: own}
	var held []byte
	between := true
	for len(in) > 0 {
		n := min(piece, len(in))
		b := append(slices.Clone(held), in[:n]...)
		in = in[n:]
		for {
			pass, drop := p.Scan(b)
			if pass > 0 {
				out, pinged = append(out, b[:pass]...), append(pinged, b[:pass]...)
				between = p.Between()
			}
			b = b[pass+drop:]
			if between {
				pinged = append(pinged, pings...)
				pingCount++
			}
			if drop == 0 {
				break
			}
		}
		if held = b; len(held) > ws.MaxHeld {
			panic(fmt.Sprint("held ", len(held)))
		}
	}
	return append(out, held...), append(pinged, held...), pingCount
}

// passages are bytes of a peer, and the bytes that a Passage passes on: all but the pongs for
// edge's own pings.
var passages = []struct{ name, in, out string }{
	{"nothing", "", ""},
	{"own pong", "\x8a\x08" + string(own[:]), ""},
	{"own pong, masked", "\x8a\x88\x01\x02\x03\x04" + under("\x01\x02\x03\x04", string(own[:])), ""},
	{"between messages", "\x81\x01a\x8a\x08" + string(own[:]) + "\x81\x01b", "\x81\x01a\x81\x01b"},
	{"within a fragmented message", "\x01\x01a\x8a\x08" + string(own[:]) + "\x80\x01b", "\x01\x01a\x80\x01b"},
	{"twice", "\x8a\x08" + string(own[:]) + "\x8a\x08" + string(own[:]), ""},
	{"another's pong", "\x8a\x08somebody", "\x8a\x08somebody"},
	{"another's, masked", "\x8a\x88abcdsomebody", "\x8a\x88abcdsomebody"},
	{"a pong with reserved bits", "\xca\x08" + string(own[:]), "\xca\x08" + string(own[:])},
	{"a fragmented pong", "\x0a\x08" + string(own[:]), "\x0a\x08" + string(own[:])},
	{"a long way to say its length", "\x8a\x7e\x00\x08" + string(own[:]), "\x8a\x7e\x00\x08" + string(own[:])},
	{"a ping", "\x89\x08" + string(own[:]), "\x89\x08" + string(own[:])},
	{"within a payload", "\x82\x0a\x8a\x08" + string(own[:]), "\x82\x0a\x8a\x08" + string(own[:])},
	{"16 bits", "\x82\x7e\x01\x00" + strings.Repeat("\x8a", 256) + "\x8a\x08" + string(own[:]), "\x82\x7e\x01\x00" + strings.Repeat("\x8a", 256)},
	{"64 bits, masked", "\xc2\xff\x00\x00\x00\x00\x00\x01\x00\x00key!" + strings.Repeat("\x8a", 65536) + "\x88\x00",
		"\xc2\xff\x00\x00\x00\x00\x00\x01\x00\x00key!" + strings.Repeat("\x8a", 65536) + "\x88\x00"},
	{"without an end", "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff" + "\x8a\x08" + string(own[:]), "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff" + "\x8a\x08" + string(own[:])},
	{"masked, without an end", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffabcd" + "\x8a\x08" + string(own[:]), "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffabcd" + "\x8a\x08" + string(own[:])},
	{"half a header", "\x81\x01a\x82\x7f\x00\x00", "\x81\x01a\x82\x7f\x00\x00"},
	{"half of an own pong", "\x8a\x08" + string(own[:7]), "\x8a\x08" + string(own[:7])},
	{"unknown opcodes and bits", "\xf3\x02ab\x7b\x00\x3f\x01x", "\xf3\x02ab\x7b\x00\x3f\x01x"},
}

func under(key, s string) string {
	b := []byte(s)
	for i := range b {
		b[i] ^= key[i%4]
	}
	return string(b)
}

// TestPassage checks that a Passage passes on everything except the pongs for edge's own pings,
// wherever the bytes are split.
func TestPassage(t *testing.T) {
	for _, test := range passages {
		for piece := 1; piece <= len(test.in)+1; piece += max(1, piece/20) {
			if out, _, _ := passed([]byte(test.in), piece, nil); string(out) != test.out {
				t.Errorf("%s, in pieces of %d: %.80q passes, want %.80q", test.name, piece, out, test.out)
			}
		}
	}
}

// TestPassageSeen checks that Seen reports each ping and Close that passes once, and reports
// nothing for bytes that look like a ping or a Close in a payload.
func TestPassageSeen(t *testing.T) {
	p := ws.Passage{Own: own}
	for _, step := range []struct {
		in   string
		want ws.Seen
	}{
		{"\x82\x02\x89\x88", ws.Seen{}}, {"\x89\x00", ws.Seen{Ping: true}}, {"\x81\x00", ws.Seen{}}, {"\x89\x01a\x88\x00", ws.Seen{Ping: true, Close: true}}, {"", ws.Seen{}},
	} {
		p.Scan([]byte(step.in))
		if got := p.Seen(); got != step.want {
			t.Errorf("%q: %+v, want %+v", step.in, got, step.want)
		}
	}
}

// TestPassageAllocations checks that a Passage allocates nothing for frames.
func TestPassageAllocations(t *testing.T) {
	p := ws.Passage{Own: own}
	in := []byte(strings.Repeat("\x82\x83abcdxyz\x8a\x88abcdsomebody\x89\x00\x8a\x08"+string(own[:]), 100))
	if n := testing.AllocsPerRun(100, func() {
		for b := in; len(b) > 0; {
			pass, drop := p.Scan(b)
			b = b[pass+drop:]
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPassage compares the bytes that a Passage passes on with those that it passes on when the
// input comes in pieces of any size. It also checks that gorilla/websocket reads the same with and
// without edge's pings between the frames.
func FuzzPassage(f *testing.F) {
	for _, test := range passages {
		f.Add([]byte(test.in), uint16(3), false)
	}
	for _, server := range []bool{false, true} {
		seed(f, server, func(b []byte) { f.Add(b, uint16(5), server) })
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint16, server bool) {
		whole, _, _ := passed(in, len(in)+1, nil)
		out, _, _ := passed(in, 1+int(piece), nil)
		if again, _, _ := passed(in, 1, nil); !bytes.Equal(out, whole) || !bytes.Equal(again, whole) {
			t.Fatalf("%.200q in pieces passes as %.200q, %.200q; whole as %.200q", in, out, again, whole)
		}
		if !bytes.Contains(in, []byte("\x8a\x08")) && !bytes.Contains(in, []byte("\x8a\x88")) && !bytes.Equal(whole, in) {
			t.Fatalf("%.200q passes as %.200q", in, whole)
		}
		oracle, ping := gorilla, ws.AppendClientPing(nil, own[:])
		if server {
			oracle, ping = gorillaClient, ws.AppendPing(nil, own[:])
		}
		_, pinged, pings := passed(in, 1+int(piece), ping)
		want, got := oracle(whole), oracle(pinged)
		ours := 0
		got.pings = slices.DeleteFunc(got.pings, func(p string) bool { ours += count(p == string(own[:])); return p == string(own[:]) })
		want.pings = slices.DeleteFunc(want.pings, func(p string) bool { return p == string(own[:]) })
		if fmt.Sprintf("%v %q %d", got.messages, got.pings, got.closed) != fmt.Sprintf("%v %q %d", want.messages, want.pings, want.closed) {
			t.Fatalf("with pings gorilla hears %.300q, without %.300q", fmt.Sprint(got), fmt.Sprint(want))
		}
		if want.err == io.EOF && ours < pings {
			t.Fatalf("gorilla hears %d of %d pings", ours, pings)
		}
	})
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}
