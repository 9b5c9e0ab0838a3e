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

// says returns a server's frame, and server returns a server's complete binary message.
func says(first byte, payload string) []byte { return unmasked(frame(first, payload)) }
func server(payload string) []byte           { return says(fin|opBinary, payload) }

const success = `{"metadata":{},"status":"Success"}`

var clientSourceCases = []struct {
	name string
	in   []byte
	want []string
	code int // code of the protocol error at the end; 0: the end is io.EOF
}{
	{name: "nothing"},
	{name: "output", in: join(server("\x01a"), server("\x02b"), server("\x01c")), want: []string{`data stdout "a"`, `data stderr "b"`, `data stdout "c"`}},
	{name: "start on stdout", in: join(server("\x01"), server("\x01a")), want: []string{`data stdout "a"`}},
	{name: "start on stderr", in: join(server("\x02"), server("\x02a")), want: []string{`data stderr "a"`}},
	{
		name: "start on error",
		in:   join(server("\x03"), server("\x03"+success), says(fin|opClose, "\x03\xe8")),
		want: []string{fmt.Sprintf("status error %q", success), "close 1000"},
	},
	{name: "empty messages", in: join(server(""), says(fin|opText, ""), server("\x01a")), want: []string{`data stdout "a"`}},
	{name: "text", in: says(fin|opText, "\x01gr\xc3\xbcn"), want: []string{`data stdout "grün"`}},
	{
		name: "fragments",
		in:   join(says(opBinary, "\x01\x02a"), says(opContinuation, "\x03b"), says(fin|opContinuation, "\xffc"), server("\x02d")),
		want: []string{`data stdout "\x02a"`, `data stdout "\x03b"`, `data stdout "\xffc"`, `data stderr "d"`},
	},
	{
		name: "status in fragments",
		in:   join(says(opBinary, ""), says(opContinuation, "\x03"), says(fin|opPing, "p"), says(opContinuation, "o"), says(opContinuation, ""), says(fin|opContinuation, "k")),
		want: []string{`answer "\x8a\x01p"`, `status error "ok"`},
	},
	{
		name: "one status counts",
		in:   join(server("\x03first"), server("\x03second"), server("\x01late"), says(fin|opClose, "")),
		want: []string{`status error "first"`, `data stdout "late"`, "close 0"},
	},
	{
		name: "channels that a server cannot write, and unknown ones",
		in:   join(server("\x00a"), server("\x04"+size), server("\x05b"), server("\xff\x01"), server("\xff"), server("1YQ=="), server("\x01c")),
		want: []string{`data stdout "c"`},
	},
	{
		name: "pings",
		in:   join(says(fin|opPing, ""), says(opBinary, "\x01a"), says(fin|opPing, "1"), says(fin|opPong, "x"), says(fin|opContinuation, "b")),
		want: []string{`answer "\x8a\x00"`, `data stdout "a"`, `answer "\x8a\x011"`, `data stdout "b"`},
	},
	{
		name: "longest ping", in: says(fin|opPing, strings.Repeat("p", 125)),
		want: []string{`answer "\x8a}` + strings.Repeat("p", 125) + `"`},
	},
	{name: "Close", in: join(server("\x01a"), says(fin|opClose, "\x03\xf3bye"), server("\x01b")), want: []string{`data stdout "a"`, "close 1011"}},
	{name: "Close within a message", in: join(says(opBinary, "\x03a"), says(fin|opClose, "\x03\xe9")), want: []string{"close 1001"}},
	{name: "masked output", in: join(server("\x01a"), message("\x01b")), want: []string{`data stdout "a"`}, code: streams.CloseProtocol},
	{name: "masked ping", in: frame(fin|opPing, ""), code: streams.CloseProtocol},
	{name: "masked Close", in: frame(fin|opClose, "\x03\xe8"), code: streams.CloseProtocol},
}

// TestExecUpstreamSource checks which frames ExecUpstreamSource returns for a server's messages, in
// every dialect and wherever the bytes are split.
func TestExecUpstreamSource(t *testing.T) {
	for _, c := range clientSourceCases {
		for _, d := range dialects {
			t.Run(c.name+" "+d.String(), func(t *testing.T) {
				everySplit(t, inDialect(c.in, d), func(src io.Reader) {
					e := readServer(t, src, d)
					equal(t, gist(e.lines), gist(c.want))
					if c.code == 0 && e.err != io.EOF || closeCode(e.err) != c.code {
						t.Errorf("ended with %v, want code %d", e.err, c.code)
					}
				})
			})
		}
	}
}

// TestExecUpstreamSourceStatus checks that the longest Status is returned whole, and that a Status
// with one byte more is a protocol error before all of it has arrived.
func TestExecUpstreamSourceStatus(t *testing.T) {
	long := strings.Repeat("s", streams.MaxStatus)
	for name, in := range map[string]func(string) []byte{
		"message": func(s string) []byte { return server("\x03" + s) },
		"fragments": func(s string) []byte {
			return join(says(opBinary, "\x03"+s[:40000]), says(opContinuation, s[40000:60000]), says(fin|opContinuation, s[60000:]))
		},
	} {
		for _, d := range dialects {
			e := readServer(t, iotest.HalfReader(split(inDialect(in(long), d))), d)
			equal(t, e.lines, []string{fmt.Sprintf("status error %q", long)})
			if e = readServer(t, split(inDialect(in(long+"s"), d)), d); len(e.lines) > 0 || closeCode(e.err) != streams.CloseTooBig {
				t.Errorf("%s, %v: %d lines, then %v", name, d, len(e.lines), e.err)
			}
		}
	}
	tooLong := unmasked(header(fin|opBinary, 127, streams.MaxStatus+2))
	e := readServer(t, io.MultiReader(split(append(tooLong, 3)), &stall{}), ws.V5Channel)
	if closeCode(e.err) != streams.CloseTooBig || e.stalls > 0 {
		t.Errorf("read on, then %v", e.err)
	}
}

// TestExecUpstreamSourceStreams checks that a message longer than a Data frame is returned in pieces
// while it arrives.
func TestExecUpstreamSourceStreams(t *testing.T) {
	payload := strings.Repeat("0123456789abcdef", 10*streams.MaxData/16)
	for _, d := range dialects {
		in := inDialect(server("\x01"+payload), d)
		for _, src := range []io.Reader{split(in), iotest.HalfReader(split(in)), split(in, 1, len(in)/3)} {
			e := readServer(t, src, d)
			if len(e.lines) < 10 || e.err != io.EOF {
				t.Errorf("%v: %d frames, then %v", d, len(e.lines), e.err)
			}
			equal(t, gist(e.lines), []string{fmt.Sprintf("data stdout %q", payload)})
		}
	}
}

// TestExecUpstreamSourceAgain checks that no byte is lost when a read deadline passes, after any
// number of bytes, and Next is called again.
func TestExecUpstreamSourceAgain(t *testing.T) {
	whole := join(server("\x01abc"), says(fin|opPing, "p"), says(opBinary, "\x03stat"), says(fin|opContinuation, "us"), says(fin|opClose, "\x03\xe8"))
	for _, d := range dialects {
		in := inDialect(whole, d)
		want := readServer(t, split(in), d)
		for n := range in {
			e := readServer(t, io.MultiReader(split(in[:n]), &stall{}, split(in[n:])), d)
			equal(t, e.lines, want.lines)
			if e.err != io.EOF || e.stalls != 1 {
				t.Errorf("%v: stalled after %d bytes: %d stalls, then %v", d, n, e.stalls, e.err)
			}
		}
	}
}

// TestExecUpstreamSourceEnd checks that the end of the connection is io.EOF between two messages, and
// io.ErrUnexpectedEOF within a message.
func TestExecUpstreamSourceEnd(t *testing.T) {
	parts := [][]byte{server("\x01a"), says(fin|opPing, "b"), server("\x03" + success), says(opBinary, "\x01c"), says(fin|opContinuation, "d")}
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
		if e := readServer(t, split(in[:n]), ws.V5Channel); e.err != want {
			t.Errorf("after %d bytes: %v, want %v", n, e.err, want)
		}
	}
}
