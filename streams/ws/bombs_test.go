package ws_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"edge/streams"
	"edge/streams/ws"
)

// breaches of RFC 6455 and of this package's bounds, and the code for the Close.
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

// header is a client's header with a length written in the given form.
func header(first, form byte, n uint64) []byte {
	b := []byte{first, 0x80 | form}
	if form == 126 {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	} else {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return append(b, "key!"...)
}

// Each breach is told as soon as it is there, without a look at what follows.
func TestWebSocketBombs(t *testing.T) {
	for _, c := range breaches {
		t.Run(c.name, func(t *testing.T) {
			in := func() io.Reader {
				return io.MultiReader(split(c.in), iotest.ErrReader(errors.New("read on")))
			}
			for _, d := range []ws.Dialect{ws.V4Channel, ws.V5Channel} {
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

// The bounds refuse nothing that lies within them.
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
	if _, b, e := tunnel(split(in), 100); string(b) != "\x00ab" || e.err != io.ErrUnexpectedEOF {
		t.Errorf("tunnel: %q, %v", b, e.err)
	}
}

// flood reads b over and over, n bytes in all, and watches the heap meanwhile.
type flood struct {
	b     []byte
	n     int
	i     int    // next byte of b
	since int    // bytes since the last look
	base  uint64 // live bytes at first
	most  uint64 // live bytes at most
}

func (f *flood) Read(p []byte) (int, error) {
	if f.since >= 512<<10 || f.base == 0 {
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

// Whatever a peer sends without end, the memory for it does not grow.
func TestMemory(t *testing.T) {
	const total = 4 << 20
	const most = 128 << 10 // four buffers
	for _, c := range []struct {
		name   string
		before []byte
		again  []byte
	}{
		{"fragments of one byte", frame(opBinary, "\x00"), frame(opContinuation, "a")},
		{"a message of 2^62 bytes", header(fin|opBinary, 127, 1<<62), []byte("payload")},
		{"a message of 2^62 bytes for nobody", append(header(fin|opBinary, 127, 1<<62), '\x07'^'k'), []byte("payload")},
		{"messages for nobody", nil, message("\x09abc")},
		{"pings", nil, frame(fin|opPing, "abc")},
		{"empty messages", nil, message("")},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := &flood{b: c.again, n: total}
			r := streams.NewReader(io.MultiReader(bytes.NewReader(c.before), src), nil)
			defer r.Close()
			s := ws.NewExecServerSource(r, mute{}, ws.V5Channel)
			var err error
			for err == nil {
				_, err = s.Next()
			}
			if src.n > 0 || closeCode(err) != 0 {
				t.Errorf("source: %v with %d bytes left", err, src.n)
			}
			if grown := src.most - src.base; grown > most {
				t.Errorf("source: %d bytes of memory for %d", grown, total)
			}

			src = &flood{b: c.again, n: total}
			tun := ws.NewTunnel(io.MultiReader(bytes.NewReader(c.before), src), mute{}, nil)
			buf := make([]byte, 4096)
			for err = nil; err == nil; {
				_, err = tun.Read(buf)
			}
			if src.n > 0 || err != io.ErrUnexpectedEOF {
				t.Errorf("tunnel: %v with %d bytes left", err, src.n)
			}
			if grown := src.most - src.base; grown > most {
				t.Errorf("tunnel: %d bytes of memory for %d", grown, total)
			}
		})
	}
}

// mute takes answers and forgets them.
type mute struct{}

func (mute) Pong([]byte)        {}
func (mute) Reply([]byte) error { return nil }
