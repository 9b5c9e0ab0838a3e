package ws_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"edge/streams"
	"edge/streams/ws"
)

// openMasks unmasks the frames that a client wrote, one frame per write, and fails the test if a
// frame is not masked.
func openMasks(t *testing.T, out []string) []string {
	t.Helper()
	var all []string
	for _, s := range out {
		if s[1]&0x80 == 0 {
			t.Errorf("unmasked %.50q", s)
			continue
		}
		all = append(all, string(unmasked([]byte(s))))
	}
	return all
}

// TestExecUpstreamSink checks the messages that ExecUpstreamSink writes for frames.
func TestExecUpstreamSink(t *testing.T) {
	big := strings.Repeat("b", streams.Small)
	most := strings.Repeat("m", streams.MaxData)
	for _, c := range []struct {
		name string
		in   []streams.Frame
		want []string
		v5   []string // expected messages in v5; nil: the same as in the field want
	}{
		{name: "nothing", in: []streams.Frame{flush}},
		{name: "input waits for Flush", in: []streams.Frame{stdin("a")}},
		{name: "input", in: []streams.Frame{stdin("a"), flush, flush}, want: []string{"\x82\x02\x00a"}},
		{name: "empty input", in: []streams.Frame{stdin(""), flush}},
		{name: "input is merged", in: []streams.Frame{stdin("a"), stdin(""), stdin("bc"), flush}, want: []string{"\x82\x04\x00abc"}},
		{
			name: "125 and 126 bytes",
			in:   []streams.Frame{stdin(big[:124]), flush, stdin(big[:125]), flush},
			want: []string{"\x82\x7d\x00" + big[:124], "\x82\x7e\x00\x7e\x00" + big[:125]},
		},
		{name: "large input follows small", in: []streams.Frame{stdin("a"), stdin(big)}, want: []string{"\x82\x02\x00a", "\x82\x7e\x10\x01\x00" + big}},
		{name: "the most input at once", in: []streams.Frame{stdin(most)}, want: []string{"\x82\x7e\x80\x01\x00" + most}},
		{name: "more than that", in: []streams.Frame{stdin(most + most + "m")}, want: []string{"\x82\x7e\x80\x01\x00" + most, "\x82\x7e\x80\x01\x00" + most, "\x82\x02\x00m"}},
		{
			name: "input without room",
			in:   []streams.Frame{{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdin}, Buf: []byte(big)}, {Kind: streams.Resize, Buf: []byte("x{}"), Off: 1}},
			want: []string{"\x82\x7e\x10\x01\x00" + big, "\x82\x03\x04{}"},
		},
		{name: "resize follows input", in: []streams.Frame{stdin("a"), say(streams.Resize, streams.Terminal, size)}, want: []string{"\x82\x02\x00a", "\x82\x1a\x04" + size}},
		{
			name: "half-close follows input",
			in:   []streams.Frame{stdin("a"), say(streams.HalfClose, streams.Stdin, ""), closing(1000)},
			want: []string{"\x82\x02\x00a", "\x88\x02\x03\xe8"},
			v5:   []string{"\x82\x02\x00a", "\x82\x02\xff\x00", "\x88\x02\x03\xe8"},
		},
		{
			name: "a reset ends stdin, and stdin ends once",
			in:   []streams.Frame{say(streams.Reset, streams.Stdin, ""), say(streams.HalfClose, streams.Stdin, ""), say(streams.Reset, streams.Stdin, "")},
			v5:   []string{"\x82\x02\xff\x00"},
		},
		{name: "half-close without room", in: []streams.Frame{{Kind: streams.HalfClose, Stream: streams.Stream{Role: streams.Stdin}}}, v5: []string{"\x82\x02\xff\x00"}},
		{name: "close without a code", in: []streams.Frame{closing(0)}, want: []string{"\x88\x00"}},
		{
			name: "nothing follows a close",
			in: []streams.Frame{
				closing(1001), stdin("a"), stdin(big), say(streams.Resize, streams.Terminal, size),
				say(streams.HalfClose, streams.Stdin, ""), closing(1000), flush,
			},
			want: []string{"\x88\x02\x03\xe9"},
		},
		{
			name: "what cannot be said",
			in: []streams.Frame{
				say(streams.HalfClose, streams.Terminal, ""), say(streams.HalfClose, streams.Stdout, ""), say(streams.Reset, streams.Stdout, ""),
				say(streams.Open, streams.Port, "a"), say(streams.Accept, streams.Port, "a"), say(streams.Headers, streams.Port, "a"),
				say(streams.Status, streams.Error, "{}"), stdout("a"), stdout(big), stderr("a"), say(streams.Data, streams.Port, big), flush,
			},
		},
	} {
		for _, d := range []ws.Dialect{ws.V1Channel, ws.V4Channel, ws.V5Channel} {
			want := c.want
			if d == ws.V5Channel && c.v5 != nil {
				want = c.v5
			}
			got := openMasks(t, written(t, c.in, func(w streams.Writer) streams.Sink { return ws.NewExecUpstreamSink(w, d) }))
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				t.Errorf("%s, %v: wrote %.500q, want %.500q", c.name, d, got, want)
			}
		}
	}
}

// TestMaskingKeys checks that every message and every control frame has a masking key of its own.
func TestMaskingKeys(t *testing.T) {
	w := &writes{}
	s := ws.NewExecUpstreamSink(w, ws.V5Channel)
	keys := map[string]bool{}
	const n = 200
	for range n {
		s.Write(stdin("a"))
		s.Flush()
		keys[string(w.out[len(w.out)-1][2:6])] = true
		keys[string(ws.AppendClientPing(nil, nil)[2:6])] = true
	}
	// One pair of equal keys is allowed: keys have 32 bits, so two of them are equal by chance in
	// one of 50,000 runs.
	if len(keys) < 2*n-1 {
		t.Errorf("%d keys for %d frames", len(keys), 2*n)
	}
}

// TestExecUpstreamSinkError checks that Write and Flush each return the error of the write that they
// cause.
func TestExecUpstreamSinkError(t *testing.T) {
	broken := errors.New("broken")
	for name, call := range map[string]func(*ws.ExecUpstreamSink) error{
		"large": func(s *ws.ExecUpstreamSink) error { return s.Write(stdin(strings.Repeat("b", streams.Small))) },
		"flush": func(s *ws.ExecUpstreamSink) error { s.Write(stdin("a")); return s.Flush() },
		"resize": func(s *ws.ExecUpstreamSink) error {
			s.Write(stdin("a"))
			return s.Write(say(streams.Resize, streams.Terminal, size))
		},
		"half-close": func(s *ws.ExecUpstreamSink) error { return s.Write(say(streams.HalfClose, streams.Stdin, "")) },
		"close":      func(s *ws.ExecUpstreamSink) error { return s.Write(closing(1000)) },
	} {
		if err := call(ws.NewExecUpstreamSink(&writes{err: broken}, ws.V5Channel)); err != broken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBase64Sinks checks the messages that sinks write in a base64 dialect. Each message is text
// that decodes on its own, is one WebSocket frame, and carries at most as much data as a Data
// frame.
func TestBase64Sinks(t *testing.T) {
	all := string(random(2*streams.MaxData + 17))
	status := strings.Repeat("s", streams.MaxStatus)
	for _, d := range []ws.Dialect{ws.V1Base64Channel, ws.V4Base64Channel} {
		for _, c := range []struct {
			name   string
			in     []streams.Frame
			client bool
			want   [5]string // expected data on each channel
			writes int
		}{
			{name: "output", in: []streams.Frame{stdout("a"), stdout("bc"), stderr("d"), stdout("e"), flush}, want: [5]string{1: "abce", 2: "d"}, writes: 3},
			{name: "large output", in: []streams.Frame{stdout(all[:streams.MaxData])}, want: [5]string{1: all[:streams.MaxData]}, writes: 2},
			{name: "larger output", in: []streams.Frame{stdout("a"), stdout(all)}, want: [5]string{1: "a" + all}, writes: 4},
			{name: "status", in: []streams.Frame{stderr("a"), say(streams.Status, streams.Error, "{}")}, want: [5]string{2: "a", 3: "{}"}, writes: 2},
			{name: "the longest status is whole", in: []streams.Frame{say(streams.Status, streams.Error, status)}, want: [5]string{3: status}, writes: 1},
			{name: "empty status", in: []streams.Frame{say(streams.Status, streams.Error, "")}},
			{name: "input", client: true, in: []streams.Frame{stdin("a"), stdin(all), stdin("b"), flush}, want: [5]string{0: "a" + all + "b"}, writes: 5},
			{name: "resize", client: true, in: []streams.Frame{say(streams.Resize, streams.Terminal, size)}, want: [5]string{4: size}, writes: 1},
			{name: "half-close", client: true, in: []streams.Frame{say(streams.HalfClose, streams.Stdin, "")}},
		} {
			out := written(t, c.in, func(w streams.Writer) streams.Sink {
				if c.client {
					return ws.NewExecUpstreamSink(w, d)
				}
				return ws.NewExecDownstreamSink(w, d)
			})
			if c.client {
				out = openMasks(t, out)
			}
			var got [5]string
			for _, b := range out {
				head, n := payload([]byte(b))
				if b[0] != fin|opText || len(b) != head+n {
					t.Fatalf("%s: frame %.20q of %d bytes", c.name, b, len(b))
				}
				plain, err := base64.StdEncoding.Strict().DecodeString(b[head+1:])
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				channel := b[head] - '0'
				if channel != 3 && len(plain) > streams.MaxData || channel > 4 {
					t.Fatalf("%s: %d bytes on channel %d", c.name, len(plain), channel)
				}
				got[channel] += string(plain)
			}
			if got != c.want || len(out) != c.writes {
				t.Errorf("%s: %d writes of %.200q, want %d of %.200q", c.name, len(out), got, c.writes, c.want)
			}
		}
		t.Run("many small ones", func(t *testing.T) {
			w := &writes{}
			s := ws.NewExecDownstreamSink(w, d)
			for b := range bytes.Lines([]byte(strings.Repeat("0123456789\n", 10000))) {
				if err := s.Write(stdout(string(b))); err != nil {
					t.Fatal(err)
				}
			}
			if len(w.out) != 110000/30699 {
				t.Errorf("%d writes", len(w.out))
			}
		})
	}
}
