package ws_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"edge/streams"
	"edge/streams/ws"
)

// TestTunnelRead checks the bytes and the error that a Tunnel returns for a peer's frames.
func TestTunnelRead(t *testing.T) {
	for _, c := range []struct {
		name    string
		in      []byte
		want    string
		answers []string
		err     error // expected error; nil: a protocol error with the code of the field code
		code    int
		closed  bool
	}{
		{name: "nothing", err: io.ErrUnexpectedEOF},
		{name: "messages", in: join(message("ab"), message("c")), want: "abc", err: io.ErrUnexpectedEOF},
		{name: "empty messages", in: join(message(""), message("a"), message(""), message("b")), want: "ab", err: io.ErrUnexpectedEOF},
		{
			name: "fragments", in: join(frame(opBinary, ""), frame(opContinuation, "a"), frame(fin|opContinuation, "b"), message("c")),
			want: "abc", err: io.ErrUnexpectedEOF,
		},
		{
			name: "pings",
			in:   join(frame(fin|opPing, "1"), frame(opBinary, "a"), frame(fin|opPing, ""), frame(fin|opPong, "x"), frame(fin|opContinuation, "b"), frame(fin|opPing, "3")),
			want: "ab", answers: []string{`answer "\x8a\x011"`, `answer "\x8a\x00"`, `answer "\x8a\x013"`}, err: io.ErrUnexpectedEOF,
		},
		{name: "Close", in: join(message("a"), frame(fin|opClose, "\x03\xe8bye"), message("b")), want: "a", err: io.EOF, code: 1000, closed: true},
		{name: "Close without a code", in: frame(fin|opClose, ""), err: io.EOF, closed: true},
		{name: "Close with an error", in: frame(fin|opClose, "\x03\xf3"), err: io.EOF, code: 1011, closed: true},
		{name: "Close within a message", in: join(frame(opBinary, "a"), frame(fin|opClose, "\x03\xe8")), want: "a", err: io.EOF, code: 1000, closed: true},
		{name: "text", in: join(message("a"), frame(fin|opText, "b")), want: "a", code: streams.CloseUnsupported},
		{name: "text in a fragment", in: join(frame(opText, ""), frame(fin|opContinuation, "b")), code: streams.CloseUnsupported},
	} {
		everyTunnel(t, c.in, func(tun *ws.Tunnel, b []byte, e *events) {
			if string(b) != c.want {
				t.Errorf("%s: read %q, want %q", c.name, b, c.want)
			}
			equal(t, e.lines, c.answers)
			code, closed := tun.Closed()
			if closed != c.closed || closed && code != c.code {
				t.Errorf("%s: closed %v with %d", c.name, closed, code)
			}
			if c.err != nil && e.err != c.err || c.err == nil && closeCode(e.err) != c.code {
				t.Errorf("%s: ended with %v", c.name, e.err)
			}
			if c.err != nil && c.closed || c.err == nil {
				if n, again := tun.Read(make([]byte, 1)); n != 0 || again != e.err {
					t.Errorf("%s: after %v: %d, %v", c.name, e.err, n, again)
				}
			}
		})
	}
}

// everyTunnel reads a client's frames through a server's tunnel, and the same content as a server's
// frames through a client's tunnel. It splits the bytes at every place and uses reads of several
// sizes.
func everyTunnel(t *testing.T, in []byte, check func(*ws.Tunnel, []byte, *events)) {
	t.Helper()
	size := 0
	everySplit(t, in, func(src io.Reader) {
		size = size%5 + 1
		tun, b, e := tunnel(src, size)
		check(tun, b, e)
	})
	everySplit(t, unmasked(in), func(src io.Reader) {
		size = size%5 + 1
		tun, b, e := clientTunnel(src, size)
		check(tun, b, e)
	})
}

// TestTunnelIsReader checks that a Tunnel behaves as an io.Reader must.
func TestTunnelIsReader(t *testing.T) {
	payload := strings.Repeat("0123456789", 2000)
	in := join(message(payload[:10000]), frame(fin|opPing, ""), frame(opBinary, payload[10000:10001]), frame(fin|opContinuation, payload[10001:]), frame(fin|opClose, ""))
	if err := iotest.TestReader(ws.NewTunnel(split(in), mute{}, nil), []byte(payload)); err != nil {
		t.Error(err)
	}
	if err := iotest.TestReader(ws.NewClientTunnel(split(unmasked(in)), mute{}, nil), []byte(payload)); err != nil {
		t.Error(err)
	}
	for _, src := range []io.Reader{iotest.OneByteReader(split(in)), iotest.HalfReader(split(in)), iotest.DataErrReader(split(in)), &dawdle{r: split(in)}} {
		if _, b, e := tunnel(src, 333); string(b) != payload || e.err != io.EOF {
			t.Errorf("%T: %d bytes, %v", src, len(b), e.err)
		}
	}
}

// dawdle is an io.Reader that returns 0, nil on every second Read.
type dawdle struct {
	r io.Reader
	n int
}

func (d *dawdle) Read(b []byte) (int, error) {
	if d.n++; d.n%2 == 1 {
		return 0, nil
	}
	return d.r.Read(b)
}

// TestTunnelReadsExactly checks that a Tunnel never reads beyond the current frame, and reads the
// payload directly into the caller's buffer.
func TestTunnelReadsExactly(t *testing.T) {
	src := &asked{r: split(join(message("0123456789"), message(strings.Repeat("a", 300))))}
	tun := ws.NewTunnel(src, mute{}, nil)
	buf := make([]byte, 1000)
	for _, want := range []int{10, 300} {
		if n, err := tun.Read(buf); n != want || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if src.last != &buf[0] {
			t.Error("payload took a detour")
		}
		if src.most != want {
			t.Errorf("asked for %d bytes at once, of %d", src.most, want)
		}
	}
}

type asked struct {
	r    io.Reader
	most int
	last *byte
}

func (a *asked) Read(b []byte) (int, error) {
	a.most, a.last = max(a.most, len(b)), &b[0]
	return a.r.Read(b)
}

// TestTunnelAgain checks that no byte is lost when a read deadline passes, after any number of
// bytes, and Read is called again.
func TestTunnelAgain(t *testing.T) {
	in := join(message("ab"), frame(fin|opPing, "p"), frame(opBinary, ""), frame(fin|opContinuation, strings.Repeat("c", 200)), frame(fin|opClose, "\x03\xe8"))
	_, want, _ := tunnel(split(in), 7)
	for n := range in {
		_, got, e := tunnel(io.MultiReader(split(in[:n]), &stall{}, split(in[n:])), 7)
		if string(got) != string(want) || len(e.lines) != 1 || e.err != io.EOF || e.stalls != 1 {
			t.Errorf("stalled after %d bytes: %q, %v, %v", n, got, e.lines, e.err)
		}
	}
	in = unmasked(in)
	for n := range in {
		_, got, e := clientTunnel(io.MultiReader(split(in[:n]), &stall{}, split(in[n:])), 7)
		if string(got) != string(want) || len(e.lines) != 1 || e.err != io.EOF || e.stalls != 1 {
			t.Errorf("client, stalled after %d bytes: %q, %v, %v", n, got, e.lines, e.err)
		}
	}
}

// TestTunnelWrite checks the WebSocket frames that a Tunnel writes.
func TestTunnelWrite(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		for _, room := range []int{0, 1, 3, streams.Headroom} {
			w := &writes{}
			tun := ws.NewTunnel(nil, nil, w)
			payload := strings.Repeat("p", n)
			if err := tun.WriteRoom(append(make([]byte, room), payload...), room); err != nil {
				t.Fatal(err)
			}
			want := map[int]string{1: "\x82\x01", 125: "\x82\x7d", 126: "\x82\x7e\x00\x7e", 65535: "\x82\x7e\xff\xff", 65536: "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"}[n] + payload
			if n == 0 && len(w.out) != 0 || n > 0 && (len(w.out) != 1 || string(w.out[0]) != want) {
				t.Errorf("%d bytes with room of %d: %.50q", n, room, w.out)
			}
			w = &writes{}
			if err := ws.NewClientTunnel(nil, nil, w).WriteRoom(append(make([]byte, room), payload...), room); err != nil {
				t.Fatal(err)
			}
			if n == 0 && len(w.out) != 0 || n > 0 && (len(w.out) != 1 || w.out[0][1]&0x80 == 0 || string(unmasked(w.out[0])) != want) {
				t.Errorf("client: %d bytes with room of %d: %.50q", n, room, w.out)
			}
		}
	}
	w := &writes{err: errors.New("broken")}
	tun := ws.NewTunnel(nil, nil, w)
	if err := tun.WriteRoom([]byte("a"), 0); err != w.err {
		t.Error(err)
	}
	if err := tun.WriteClose(1000); err != w.err || string(w.out[1]) != "\x88\x02\x03\xe8" {
		t.Errorf("%q, %v", w.out, err)
	}
	if err := ws.NewClientTunnel(nil, nil, w).WriteClose(1001); err != w.err || w.out[2][1] != 0x82 || string(unmasked(w.out[2])) != "\x88\x02\x03\xe9" {
		t.Errorf("%q, %v", w.out, err)
	}
}

// TestTunnelReplier checks that each answer of the protocol inside a tunnel becomes one message
// among the replies of the connection.
func TestTunnelReplier(t *testing.T) {
	want := []string{`reply "\x82\x04pong"`, `reply "\x82\x05reply"`, fmt.Sprintf("reply %q", "\x82\x7d"+strings.Repeat("l", 125))}
	for _, client := range []bool{false, true} {
		e := &events{client: client}
		rep := ws.TunnelReplier(e)
		if client {
			rep = ws.ClientTunnelReplier(e)
		}
		rep.Pong([]byte("pong"))
		for _, b := range []string{"reply", strings.Repeat("l", 125)} {
			if err := rep.Reply([]byte(b)); err != nil {
				t.Error(err)
			}
		}
		if err := rep.Reply(make([]byte, 126)); err != streams.ErrReplies {
			t.Errorf("a long reply: %v", err)
		}
		equal(t, e.lines, want)
	}
}
