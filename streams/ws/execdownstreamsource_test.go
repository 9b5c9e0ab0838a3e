package ws_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"edge/streams"
	"edge/streams/ws"
)

const size = `{"Width":80,"Height":24}` + "\n"

// TestExecDownstreamSource checks which frames ExecDownstreamSource returns for a client's messages, in
// every dialect and wherever the bytes are split.
func TestExecDownstreamSource(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		v4   []string
		v5   []string // expected frames in v5; nil: the same as in v4
		code int      // code of the protocol error at the end; 0: the end is io.EOF
		only string   // "v5": the messages are a protocol error on v5 only
	}{
		{name: "nothing"},
		{name: "stdin", in: message("\x00ls\n"), v4: []string{`data stdin "ls\n"`}},
		{name: "text", in: frame(fin|opText, "\x00gr\xc3\xbc\xc3\x9fe"), v4: []string{`data stdin "grüße"`}},
		{name: "text cut within a character", in: frame(fin|opText, "\x00\xc3"), v4: []string{`data stdin "\xc3"`}},
		{name: "empty message", in: join(message(""), frame(fin|opText, ""), message("\x00a")), v4: []string{`data stdin "a"`}},
		{name: "empty channel message", in: join(message("\x00"), message("\x04"), message("\x00a")), v4: []string{`data stdin "a"`}},
		{
			name: "fragments",
			in:   join(frame(opBinary, "\x00\x01a"), frame(opContinuation, "\x04b"), frame(fin|opContinuation, "\xffc")),
			v4:   []string{`data stdin "\x01a"`, `data stdin "\x04b"`, `data stdin "\xffc"`},
		},
		{
			name: "channel byte alone in a fragment",
			in:   join(frame(opText, "\x00"), frame(opContinuation, ""), frame(fin|opContinuation, "a"), message("\x00b")),
			v4:   []string{`data stdin "a"`, `data stdin "b"`},
		},
		{
			name: "channel byte after empty fragments",
			in:   join(frame(opBinary, ""), frame(opContinuation, ""), frame(opContinuation, "\x00a"), frame(fin|opContinuation, "")),
			v4:   []string{`data stdin "a"`},
		},
		{
			name: "message of empty fragments",
			in:   join(frame(opBinary, ""), frame(fin|opContinuation, ""), message("\x00a")),
			v4:   []string{`data stdin "a"`},
		},
		{
			name: "control frames between fragments",
			in: join(frame(opBinary, "\x00a"), frame(fin|opPing, "1"), frame(opContinuation, "b"), frame(fin|opPong, "2"),
				frame(fin|opPing, ""), frame(fin|opContinuation, "c")),
			v4: []string{`data stdin "a"`, `answer "\x8a\x011"`, `data stdin "b"`, `answer "\x8a\x00"`, `data stdin "c"`},
		},
		{
			name: "longest ping",
			in:   frame(fin|opPing, strings.Repeat("p", 125)),
			v4:   []string{`answer "\x8a}` + strings.Repeat("p", 125) + `"`},
		},
		{name: "resize", in: message("\x04" + size), v4: []string{fmt.Sprintf("resize terminal %q", size)}},
		{
			name: "resize in fragments",
			in:   join(frame(opBinary, "\x04"), frame(opContinuation, size[:9]), frame(fin|opPing, ""), frame(opContinuation, size[9:]), frame(fin|opContinuation, "")),
			v4:   []string{`answer "\x8a\x00"`, fmt.Sprintf("resize terminal %q", size)},
		},
		{
			name: "resize, two after another",
			in:   join(message("\x04"+size), message("\x04"+`{"height":1,"width":65535}`)),
			v4:   []string{fmt.Sprintf("resize terminal %q", size), `resize terminal "{\"height\":1,\"width\":65535}"`},
		},
		{
			name: "resize that is none",
			in: join(message("\x04{"), message("\x04[80,24]"), message("\x04"+`{"Width":80}`), message("\x04"+`{"Width":-1,"Height":24}`),
				message("\x04"+`{"Width":65536,"Height":24}`), message("\x04"+`{"Width":"80","Height":24}`), message("\x04null"),
				message("\x04"+size+size), message("\x00a")),
			v4: []string{`data stdin "a"`},
		},
		{
			name: "resize of 256 bytes",
			in:   message("\x04" + size + strings.Repeat(" ", 256-len(size))),
			v4:   []string{fmt.Sprintf("resize terminal %q", size+strings.Repeat(" ", 256-len(size)))},
		},
		{name: "resize of 257 bytes", in: message("\x04" + size + strings.Repeat(" ", 257-len(size))), code: streams.CloseTooBig},
		{
			name: "resize of 257 bytes in fragments",
			in:   join(frame(opBinary, "\x04"+size), frame(opContinuation, strings.Repeat(" ", 200)), frame(fin|opContinuation, strings.Repeat(" ", 57-len(size)))),
			code: streams.CloseTooBig,
		},
		{
			name: "channels that a client cannot write, and unknown ones",
			in:   join(message("\x01a"), message("\x02b"), message("\x03c"), message("\x05d"), message("0ZQ=="), message("\xfef"), message("\x00g")),
			v4:   []string{`data stdin "g"`},
		},
		{
			name: "half-close",
			in:   join(message("\x00a"), message("\xff\x00"), message("\x00b"), message("\xff\x00"), message("\x04"+size)),
			v4:   []string{`data stdin "a"`, `data stdin "b"`, fmt.Sprintf("resize terminal %q", size)},
			v5:   []string{`data stdin "a"`, `half-close stdin`, fmt.Sprintf("resize terminal %q", size)},
		},
		{
			name: "half-close in fragments",
			in:   join(frame(opBinary, ""), frame(opContinuation, "\xff"), frame(opContinuation, "\x00"), frame(fin|opContinuation, "")),
			v5:   []string{`half-close stdin`},
		},
		{name: "half-close in text", in: frame(fin|opText, "\xff\x00"), v5: []string{`half-close stdin`}},
		{
			name: "half-close of resize",
			in:   join(message("\xff\x04"), message("\x04"+size), message("\x00a")),
			v4:   []string{fmt.Sprintf("resize terminal %q", size), `data stdin "a"`},
			v5:   []string{`half-close terminal`, `data stdin "a"`},
		},
		{
			name: "half-close of the server's channels",
			in:   join(message("\xff\x01"), message("\xff\x02"), message("\xff\x03"), message("\x00a")),
			v4:   []string{`data stdin "a"`},
		},
		{name: "half-close of nothing", in: message("\xff"), code: streams.CloseProtocol, only: "v5"},
		{name: "half-close of two", in: message("\xff\x00\x04"), code: streams.CloseProtocol, only: "v5"},
		{name: "half-close of an unknown channel", in: message("\xff\x05"), code: streams.CloseProtocol, only: "v5"},
		{name: "half-close of channel 255", in: message("\xff\xff"), code: streams.CloseProtocol, only: "v5"},
		{name: "Close", in: join(frame(fin|opClose, "\x03\xe8bye"), message("\x00a")), v4: []string{"close 1000"}},
		{name: "Close without a code", in: frame(fin|opClose, ""), v4: []string{"close 0"}},
		{name: "Close within a message", in: join(frame(opBinary, "\x00a"), frame(fin|opClose, "\x03\xe9")), v4: []string{`data stdin "a"`, "close 1001"}},
		{name: "Close with the newest code", in: frame(fin|opClose, "\x03\xf6"), v4: []string{"close 1014"}},
		{name: "Close with an application's code", in: frame(fin|opClose, "\x0f\xa0"), v4: []string{"close 4000"}},
	} {
		for _, d := range dialects {
			t.Run(c.name+" "+d.String(), func(t *testing.T) {
				want, code := c.v4, c.code
				if d == ws.V5Channel && c.v5 != nil {
					want = c.v5
				}
				if c.only == "v5" && d != ws.V5Channel {
					code = 0
				}
				everySplit(t, inDialect(c.in, d), func(src io.Reader) {
					e := read(t, src, d)
					equal(t, gist(e.lines), gist(want))
					if code == 0 && e.err != io.EOF || closeCode(e.err) != code {
						t.Errorf("ended with %v, want code %d", e.err, code)
					}
				})
			})
		}
	}
}

// TestExecDownstreamSourceStreams checks that a message longer than a Data frame is returned in pieces
// while it arrives.
func TestExecDownstreamSourceStreams(t *testing.T) {
	const pieces = 100
	payload := strings.Repeat("0123456789abcdef", pieces*streams.MaxData/16)
	whole := message("\x00" + payload)
	for _, src := range []io.Reader{split(whole), iotest.OneByteReader(split(whole)), iotest.HalfReader(split(whole))} {
		r := streams.NewReader(src, nil)
		s := ws.NewExecDownstreamSource(r, &events{}, ws.V5Channel)
		for i := range pieces {
			f, err := s.Next()
			if err != nil || string(f.Payload()) != payload[i*streams.MaxData:(i+1)*streams.MaxData] {
				t.Fatalf("piece %d: %v", i, err)
			}
		}
		if _, err := s.Next(); err != io.EOF {
			t.Fatal(err)
		}
		r.Close()
	}
	begun := whole[:len(whole)/2]
	e := read(t, split(begun), ws.V5Channel)
	if len(e.lines) != pieces/2-1 && len(e.lines) != pieces/2 || e.err != io.ErrUnexpectedEOF {
		t.Errorf("%d pieces of half a message, then %v", len(e.lines), e.err)
	}
}

// TestExecDownstreamSourceEnd checks that the end of the connection is io.EOF between two messages, and
// io.ErrUnexpectedEOF within a message.
func TestExecDownstreamSourceEnd(t *testing.T) {
	parts := [][]byte{message("\x00a"), frame(fin|opPing, "b"), message("\x04" + size), frame(opBinary, "\x00c"), frame(fin|opContinuation, "d")}
	in := join(parts...)
	between := map[int]bool{0: true}
	end := 0
	for i, p := range parts {
		end += len(p)
		between[end] = i != 3 // part 3 is a first fragment: its message is not complete
	}
	for n := range len(in) + 1 {
		want := io.ErrUnexpectedEOF
		if between[n] {
			want = io.EOF
		}
		if e := read(t, split(in[:n]), ws.V4Channel); e.err != want {
			t.Errorf("after %d bytes: %v, want %v", n, e.err, want)
		}
	}
}

// TestExecDownstreamSourceAgain checks that no byte is lost when a read deadline passes, after any
// number of bytes, and Next is called again.
func TestExecDownstreamSourceAgain(t *testing.T) {
	in := join(message("\x00abc"), frame(fin|opPing, "p"), message("\x04"+size), frame(opBinary, "\x00"), frame(fin|opContinuation, "d"),
		message("\xff\x00"), frame(fin|opClose, "\x03\xe8"))
	want := read(t, split(in), ws.V5Channel)
	for n := range in {
		e := read(t, io.MultiReader(split(in[:n]), &stall{}, split(in[n:])), ws.V5Channel)
		equal(t, e.lines, want.lines)
		if e.err != io.EOF || e.stalls != 1 {
			t.Errorf("stalled after %d bytes: %d stalls, then %v", n, e.stalls, e.err)
		}
	}
}
