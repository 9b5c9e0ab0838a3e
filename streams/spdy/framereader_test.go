package spdy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// every lists all kinds of sources. Streams 1, 3, 5 and 7 are open, except in sources for the
// client's side, where the bytes of a test open them.
var every = []struct {
	name   string
	server bool // true: the source reads a server's frames
	source func(r *streams.Reader, rep streams.Replier) streams.Source
}{
	{"exec, from the server", true, func(r *streams.Reader, rep streams.Replier) streams.Source {
		return spdy.NewExecUpstreamSource(r, rep, all)
	}},
	{"exec, from the client", false, func(r *streams.Reader, rep streams.Replier) streams.Source {
		return spdy.NewExecDownstreamSource(r, rep, all)
	}},
	{"ports, from the server", true, func(r *streams.Reader, rep streams.Replier) streams.Source {
		return spdy.NewRelaySource(r, rep, spdy.Server, opened(1, 3, 5, 7))
	}},
	{"ports, from the client", false, func(r *streams.Reader, rep streams.Replier) streams.Source {
		return spdy.NewRelaySource(r, rep, spdy.Client, new(spdy.Table))
	}},
}

// TestPings checks that a source answers the peer's pings, but not the answers to edge's own pings.
func TestPings(t *testing.T) {
	in := mobyBytes(&moby.PingFrame{Id: 1}, &moby.PingFrame{Id: 2}, &moby.PingFrame{Id: 0x7fffffff}, &moby.PingFrame{Id: 0xfffffffe})
	for _, e := range every {
		t.Run(e.name, func(t *testing.T) {
			rep := new(replies)
			equal(t, "frames", drain(t, e.source(reader(in), rep)), []string{"error EOF"})
			want := []string{"ping 1", "ping 2147483647"}
			if e.server {
				want = []string{"ping 2", "ping 4294967294"}
			}
			equal(t, "answers", said(t, join(rep.said...)), want)
		})
	}
}

// TestPingFlood checks that a session ends if its peer sends pings and reads no answers.
func TestPingFlood(t *testing.T) {
	for _, e := range every {
		t.Run(e.name, func(t *testing.T) {
			rep := new(replies)
			flood := io.MultiReader(endless(spdy.AppendPing(spdy.AppendPing(nil, 1), 2)))
			_, err := e.source(streams.NewReader(flood, nil), rep).Next()
			if !errors.Is(err, streams.ErrReplies) || len(rep.said) != maxReplies {
				t.Errorf("%d answers, %v", len(rep.said), err)
			}
		})
	}
}

// endless returns a reader that repeats b forever.
func endless(b []byte) io.Reader { return &loop{b: b} }

type loop struct {
	b    []byte
	next int
}

func (l *loop) Read(b []byte) (n int, err error) {
	for n < len(b) {
		c := copy(b[n:], l.b[l.next:])
		n += c
		l.next = (l.next + c) % len(l.b)
	}
	return n, nil
}

// TestSkipped checks that sources skip frames that have no meaning in Kubernetes.
func TestSkipped(t *testing.T) {
	in := join(
		mobyBytes(
			&moby.SettingsFrame{FlagIdValues: []moby.SettingsFlagIdValue{{Id: 4, Value: 100}}},
			&moby.WindowUpdateFrame{StreamId: 5, DeltaWindowSize: 1 << 30},
		),
		unhex("8003000500000000"),             // a NOOP frame, from an older draft
		unhex("8003000a00000003 010203"),      // a CREDENTIAL frame
		unhex("80037fff00010000"),             // an unknown frame of 64 KiB
		bytes.Repeat([]byte{0xff}, 64<<10),    //
		mobyBytes(goAway(0, 0), goAway(0, 0)), // more than one GOAWAY is allowed
	)
	for _, e := range every {
		t.Run(e.name, func(t *testing.T) {
			equal(t, "frames", drain(t, e.source(reader(in), new(replies))), []string{"close session", "close session", "error EOF"})
		})
	}
}

// TestBroken checks that an invalid frame ends each kind of session with a protocol error, before
// the body of the frame is read.
func TestBroken(t *testing.T) {
	for _, test := range []struct{ name, in string }{
		{"version 2", "8002000600000004"},
		{"version 0x7fff", "ffff000600000004"},
		{"type 0", "8003000000000000"},
		{"data on stream 0", "0000000000000001"},
		{"SYN_STREAM of 9", "8003000100000009"},
		{"SYN_STREAM of 2^24-1", "8003000100ffffff"},
		{"SYN_REPLY of 3", "8003000200000003"},
		{"SYN_REPLY of 2^24-1", "8003000200ffffff"},
		{"HEADERS of 3", "8003000800000003"},
		{"HEADERS of 2^24-1", "8003000800ffffff"},
		{"HEADERS on stream 0", "8003000800000004 00000000"},
		{"RST_STREAM of 7", "8003000300000007"},
		{"RST_STREAM of 9", "8003000300000009"},
		{"RST_STREAM on stream 0", "8003000300000008 80000000 00000001"},
		{"GOAWAY of 4", "8003000700000004"},
		{"GOAWAY of 9", "8003000700000009"},
		{"PING of 3", "8003000600000003"},
		{"PING of 5", "8003000600000005"},
		{"PING 0", "8003000600000004 00000000"},
		{"SETTINGS of 2^24-1", "8003000400ffffff"},
		{"an unknown frame of 64 KiB and 1", "8003123400010001"},
	} {
		for _, e := range every {
			t.Run(test.name+", "+e.name, func(t *testing.T) {
				_, err := e.source(reader(unhex(test.in)), new(replies)).Next()
				if code := protocolError(t, err); code != streams.CloseProtocol {
					t.Errorf("code %d", code)
				}
			})
		}
	}
}

// TestTorn checks that a connection that ends within a frame gives another error than one that ends
// between two frames.
func TestTorn(t *testing.T) {
	frames := [][]byte{
		mobyBytes(&moby.PingFrame{Id: 4}),
		mobyBytes(reset(9)),
		mobyBytes(goAway(1, 1)),
		mobyBytes(data(9, true, strings.Repeat("x", 70_000))),
		mobyBytes(&moby.HeadersFrame{StreamId: 9, Headers: header("a", "b")}),
		unhex("8003000400000006 000102030405"),
	}
	for _, e := range every {
		t.Run(e.name, func(t *testing.T) {
			for _, f := range frames {
				for _, n := range []int{1, 7, 8, 9, len(f) / 2, len(f) - 1} {
					lines := drain(t, e.source(reader(f[:n]), new(replies)))
					if last := lines[len(lines)-1]; last != "error unexpected EOF" {
						t.Errorf("%x... ends after %d of %d bytes: %s", f[:8], n, len(f), last)
					}
				}
				lines := drain(t, e.source(reader(f), new(replies)))
				if last := lines[len(lines)-1]; last != "error EOF" {
					t.Errorf("%x... ends whole: %s", f[:8], last)
				}
			}
		})
	}
}

// TestFlushBeforeWait checks that an error of the Reader's beforeWait ends the source. beforeWait
// is where the relay flushes the sink of the other direction.
func TestFlushBeforeWait(t *testing.T) {
	broken := fmt.Errorf("the other side is gone")
	for _, e := range every {
		r := streams.NewReader(bytes.NewReader(nil), func() error { return broken })
		if _, err := e.source(r, new(replies)).Next(); err != broken {
			t.Errorf("%s: %v", e.name, err)
		}
	}
}
