package ws_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"edge/streams"
	"edge/streams/ws"
)

// breaches are violations of RFC 6455 and of this package's limits, each with the code that the
// Close must have.
var breaches = []struct {
	name string
	in   []byte
	code int
}{
	{"unmasked frame", []byte("\x82\x02\x00a"), 1002},
	{"unmasked ping", []byte("\x89\x00"), 1002},
	{"reserved bit 1, as deflate sets it", frame(fin|0x40|opBinary, "\x00a"), 1002},
	{"reserved bit 2", frame(fin|0x20|opBinary, "\x00a"), 1002},
	{"reserved bit 3", frame(fin|0x10|opBinary, "\x00a"), 1002},
	{"reserved bit in a continuation", join(frame(opBinary, "\x00a"), frame(fin|0x40|opContinuation, "b")), 1002},
	{"reserved bit in a ping", frame(fin|0x40|opPing, ""), 1002},
	{"opcode 3", frame(fin|0x3, "\x00a"), 1002},
	{"opcode 7", frame(0x7, "\x00a"), 1002},
	{"opcode b", frame(fin|0xb, ""), 1002},
	{"opcode f", frame(fin|0xf, ""), 1002},
	{"fragmented ping", frame(opPing, "a"), 1002},
	{"fragmented close", frame(opClose, ""), 1002},
	{"ping of 126 bytes", frame(fin|opPing, strings.Repeat("a", 126)), 1002},
	{"close of 126 bytes", frame(fin|opClose, "\x03\xe8"+strings.Repeat("a", 124)), 1002},
	{"ping of 2^63 bytes", header(fin|opPing, 127, 1<<63), 1002},
	{"continuation of nothing", frame(fin|opContinuation, "a"), 1002},
	{"continuation after the end", join(frame(opBinary, "\x00a"), frame(fin|opContinuation, "b"), frame(fin|opContinuation, "c")), 1002},
	{"message within a message", join(frame(opBinary, "\x00a"), frame(fin|opBinary, "\x00b")), 1002},
	{"message within an empty one", join(frame(opBinary, ""), frame(opBinary, "\x00b")), 1002},
	{"2^63 bytes", header(fin|opBinary, 127, 1<<63), 1002},
	{"2^64-1 bytes", header(fin|opBinary, 127, 1<<64-1), 1002},
	{"16 bits for 125", header(fin|opBinary, 126, 125), 1002},
	{"64 bits for 0", header(fin|opBinary, 127, 0), 1002},
	{"64 bits for 65535", header(fin|opBinary, 127, 65535), 1002},
	{"endless empty fragments", join(frame(opBinary, "\x00a"), bytes.Repeat(frame(opContinuation, ""), 65)), 1002},
	{"nothing but empty fragments", join(frame(opBinary, ""), bytes.Repeat(frame(opContinuation, ""), 64)), 1002},
	{"empty fragments and pings", join(frame(opBinary, "\x00a"), bytes.Repeat(join(frame(opContinuation, ""), frame(fin|opPing, "")), 65)), 1002},
	{"close of one byte", frame(fin|opClose, "\x03"), 1002},
	{"close 0", frame(fin|opClose, "\x00\x00"), 1002},
	{"close 999", frame(fin|opClose, "\x03\xe7"), 1002},
	{"close 1004", frame(fin|opClose, "\x03\xec"), 1002},
	{"close 1005", frame(fin|opClose, "\x03\xed"), 1002},
	{"close 1006", frame(fin|opClose, "\x03\xee"), 1002},
	{"close 1015", frame(fin|opClose, "\x03\xf7"), 1002},
	{"close 2999", frame(fin|opClose, "\x0b\xb7"), 1002},
	{"close 5000", frame(fin|opClose, "\x13\x88"), 1002},
	{"close 65535", frame(fin|opClose, "\xff\xff"), 1002},
	{"close with a reason that is not UTF-8", frame(fin|opClose, "\x03\xe8\xc3"), 1007},
}

// TestWebSocketBombs checks that each protocol error of a client is returned at once, before the
// bytes that follow the violation are read.
func TestWebSocketBombs(t *testing.T) {
	for _, c := range breaches {
		t.Run(c.name, func(t *testing.T) {
			in := func() io.Reader {
				return io.MultiReader(split(c.in), iotest.ErrReader(errors.New("read on")))
			}
			for _, d := range dialects {
				if e := read(t, in(), d); closeCode(e.err) != c.code {
					t.Errorf("%v: ended with %v, want code %d", d, e.err, c.code)
				}
			}
			if _, _, e := tunnel(in(), 100); closeCode(e.err) != c.code {
				t.Errorf("tunnel: ended with %v, want code %d", e.err, c.code)
			}
		})
	}
}

// TestWebSocketServerBombs checks that the violations of TestWebSocketBombs are also found in a
// server's bytes. Only masking differs: a server must not mask its frames.
func TestWebSocketServerBombs(t *testing.T) {
	for _, c := range breaches {
		in := unmasked(c.in)
		if strings.HasPrefix(c.name, "unmasked") {
			in = bytes.Clone(c.in)
			in[1] |= 0x80
			in = append(in, "key!"...)
		}
		t.Run(strings.Replace(c.name, "unmasked", "masked", 1), func(t *testing.T) {
			src := func() io.Reader {
				return io.MultiReader(split(in), iotest.ErrReader(errors.New("read on")))
			}
			for _, d := range dialects {
				if e := readServer(t, src(), d); closeCode(e.err) != c.code {
					t.Errorf("%v: ended with %v, want code %d", d, e.err, c.code)
				}
			}
			if _, _, e := clientTunnel(src(), 100); closeCode(e.err) != c.code {
				t.Errorf("tunnel: ended with %v, want code %d", e.err, c.code)
			}
		})
	}
}

// TestBounds checks that input within all limits is accepted.
func TestBounds(t *testing.T) {
	in := join(
		frame(opBinary, "\x00a"), bytes.Repeat(frame(opContinuation, ""), 64), frame(opContinuation, "b"),
		bytes.Repeat(frame(opContinuation, ""), 64), frame(fin|opContinuation, ""),
		bytes.Repeat(message(""), 1000), bytes.Repeat(frame(fin|opPong, ""), 1000),
	)
	e := read(t, split(in), ws.V5Channel)
	equal(t, e.lines, []string{`data stdin "a"`, `data stdin "b"`})
	if e.err != io.EOF {
		t.Error(e.err)
	}
	// ExecUpstreamSource returns no frames for the same messages: they are on channel 0, which a
	// server does not use.
	if e = readServer(t, split(unmasked(in)), ws.V5Channel); len(e.lines) != 0 || e.err != io.EOF {
		t.Errorf("%q, %v", e.lines, e.err)
	}
	for _, open := range []func() (*ws.Tunnel, []byte, *events){
		func() (*ws.Tunnel, []byte, *events) { return tunnel(split(in), 100) },
		func() (*ws.Tunnel, []byte, *events) { return clientTunnel(split(unmasked(in)), 100) },
	} {
		if _, b, e := open(); string(b) != "\x00ab" || e.err != io.ErrUnexpectedEOF {
			t.Errorf("tunnel: %q, %v", b, e.err)
		}
	}
}

// flood is an io.Reader that returns b again and again, n bytes in total. It measures the heap
// meanwhile.
type flood struct {
	b     []byte
	n     int
	i     int    // index in the field b of the next byte
	since int    // bytes returned since the last measurement
	base  uint64 // heap in bytes at the first measurement
	most  uint64 // largest heap in bytes so far
}

func (f *flood) Read(p []byte) (int, error) {
	if f.since >= 256<<10 || f.base == 0 {
		f.since = 0
		f.look()
	}
	got := 0
	for got < len(p) && f.n > 0 {
		c := copy(p[got:min(len(p), got+f.n)], f.b[f.i:])
		f.i = (f.i + c) % len(f.b)
		f.n -= c
		got += c
	}
	f.since += got
	if got == 0 {
		return 0, io.EOF
	}
	return got, nil
}

func (f *flood) look() {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if f.base == 0 {
		f.base = m.HeapAlloc
	}
	f.most = max(f.most, m.HeapAlloc)
}

// TestMemory checks that memory does not grow while a peer sends without end, whatever the peer
// sends.
func TestMemory(t *testing.T) {
	const total = 1 << 20
	const most = 128 << 10 // heap growth allowed, in bytes: four buffers
	for _, c := range []struct {
		name   string
		before []byte
		again  []byte
		d      ws.Dialect
	}{
		{"fragments of one byte", frame(opBinary, "\x00"), frame(opContinuation, "a"), ws.V5Channel},
		{"fragments of one byte of output", frame(opBinary, "\x01"), frame(opContinuation, "a"), ws.V5Channel},
		{"a message of 2^62 bytes", header(fin|opBinary, 127, 1<<62), []byte("payload"), ws.V5Channel},
		{"a message of 2^62 bytes on an ignored channel", append(header(fin|opBinary, 127, 1<<62), '\x07'^'k'), []byte("payload"), ws.V5Channel},
		{"messages on an ignored channel", nil, message("\x09abc"), ws.V5Channel},
		{"second statuses", message("\x03{}"), message("\x03abc"), ws.V5Channel},
		{"pings", nil, frame(fin|opPing, "abc"), ws.V5Channel},
		{"empty messages", nil, message(""), ws.V5Channel},
		{"base64 in fragments of one byte", frame(opText, "0"), frame(opContinuation, "Q"), ws.V4Base64Channel},
		{"base64 without end", frame(opText, "1"), frame(opContinuation, "QUJD"), ws.V4Base64Channel},
		{"base64 of nothing but line ends", frame(opText, "4"), frame(opContinuation, "\r\n"), ws.V4Base64Channel},
		{"a status of nothing but line ends", frame(opText, "3"), frame(opContinuation, "\r\n"), ws.V4Base64Channel},
	} {
		t.Run(c.name, func(t *testing.T) {
			watch := func(name string, before, again []byte, last error, open func(io.Reader) func() error) {
				src := &flood{b: again, n: total}
				next := open(io.MultiReader(bytes.NewReader(before), src))
				var err error
				for err == nil {
					err = next()
				}
				if src.n > 0 || closeCode(err) != 0 || last != nil && err != last {
					t.Errorf("%s: %v with %d bytes left", name, err, src.n)
				}
				if grown := src.most - src.base; grown > most {
					t.Errorf("%s: %d bytes of memory for %d", name, grown, total)
				}
			}
			source := func(s streams.Source) func() error {
				return func() error {
					_, err := s.Next()
					return err
				}
			}
			buf := make([]byte, 4096)
			watch("server", c.before, c.again, nil, func(src io.Reader) func() error {
				return source(ws.NewExecDownstreamSource(streams.NewReader(src, nil), mute{}, c.d))
			})
			watch("client", unmasked(c.before), unmasked(c.again), nil, func(src io.Reader) func() error {
				return source(ws.NewExecUpstreamSource(streams.NewReader(src, nil), mute{}, c.d))
			})
			if c.d == ws.V4Base64Channel { // not for tunnels: in a tunnel a text message is an error
				return
			}
			watch("tunnel", c.before, c.again, io.ErrUnexpectedEOF, func(src io.Reader) func() error {
				tun := ws.NewTunnel(src, mute{}, nil)
				return func() error { _, err := tun.Read(buf); return err }
			})
			watch("client's tunnel", unmasked(c.before), unmasked(c.again), io.ErrUnexpectedEOF, func(src io.Reader) func() error {
				tun := ws.NewClientTunnel(src, mute{}, nil)
				return func() error { _, err := tun.Read(buf); return err }
			})
		})
	}
}

// mute is a Replier that discards all answers.
type mute struct{}

func (mute) Pong([]byte)        {}
func (mute) Reply([]byte) error { return nil }
