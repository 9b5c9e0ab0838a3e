package ws_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"edge/streams"
	"edge/streams/ws"
)

// portDialects are the dialects of port-forward.
var portDialects = []ws.Dialect{ws.V1Channel, ws.V4Channel, ws.V4Base64Channel}

// onPort returns a client's message on a channel.
func onPort(d ws.Dialect, channel byte, payload string) []byte {
	if d == ws.V4Base64Channel {
		return frame(fin|opText, string([]byte{'0' + channel})+base64.StdEncoding.EncodeToString([]byte(payload)))
	}
	return message(string([]byte{channel}) + payload)
}

// readPorts reads a PortSource until it returns an error, and returns what the source returned.
func readPorts(t testing.TB, src io.Reader, ports int, d ws.Dialect) *events {
	e := &events{}
	r := streams.NewReader(src, nil)
	defer r.Close()
	e.drain(t, ws.NewPortSource(r, e, ports, d), func(t testing.TB, f streams.Frame) string {
		if len(f.Payload()) > streams.MaxData {
			t.Fatalf("a payload of %d bytes", len(f.Payload()))
		}
		n, isErr, ok := streams.PortOf(f.Stream.ID)
		switch {
		case f.Kind == streams.Close:
			return fmt.Sprintf("close %d", f.Code)
		case f.Kind == streams.Data && f.Stream.Role == streams.Port && ok && !isErr && n < ports && len(f.Payload()) > 0:
			return fmt.Sprintf("data %d %q", n, f.Payload())
		}
		t.Fatalf("frame of kind %d on %+v", f.Kind, f.Stream)
		return ""
	})
	return e
}

// TestPortSource checks which frames PortSource returns for a client's messages, in every dialect.
func TestPortSource(t *testing.T) {
	const ports = 3
	for _, c := range []struct {
		name string
		in   func(d ws.Dialect) []byte
		want []string
	}{
		{"nothing", func(ws.Dialect) []byte { return nil }, nil},
		{"each connection", func(d ws.Dialect) []byte {
			return join(onPort(d, 4, "c"), onPort(d, 0, "\x00a"), onPort(d, 2, "b"), onPort(d, 0, "d"))
		}, []string{`data 2 "c"`, `data 0 "\x00a"`, `data 1 "b"`, `data 0 "d"`}},
		{"ignored channels", func(d ws.Dialect) []byte {
			return join(onPort(d, 1, "a"), onPort(d, 5, "b"), onPort(d, 6, "c"), onPort(d, 7, "d"), onPort(d, 79, "e"),
				onPort(d, 254, "f"), onPort(d, 255, "\x00"), onPort(d, 255, ""), onPort(d, 0, "g"))
		}, []string{`data 0 "g"`}},
		{"no payload", func(d ws.Dialect) []byte {
			return join(message(""), frame(fin|opText, ""), onPort(d, 0, ""), onPort(d, 1, ""), onPort(d, 2, "a"))
		}, []string{`data 1 "a"`}},
		{"the other kind of message", func(d ws.Dialect) []byte {
			b := onPort(d, 2, "text")
			b[0] ^= opText ^ opBinary
			return b
		}, []string{`data 1 "text"`}},
		{"Close", func(d ws.Dialect) []byte {
			return join(onPort(d, 0, "a"), frame(fin|opClose, "\x03\xe9"), onPort(d, 0, "b"))
		}, []string{`data 0 "a"`, "close 1001"}},
		{"pings", func(d ws.Dialect) []byte { return join(frame(fin|opPing, "1"), frame(fin|opPong, "2")) }, []string{`answer "\x8a\x011"`}},
	} {
		for _, d := range portDialects {
			e := readPorts(t, split(c.in(d)), ports, d)
			if equal(t, e.lines, c.want); e.err != io.EOF || t.Failed() {
				t.Fatalf("%s, %v: %v", c.name, d, e.err)
			}
		}
	}
}

// TestPortSourceFragments checks that PortSource reads the fragments of a message as one message,
// and returns their data before the message is complete.
func TestPortSourceFragments(t *testing.T) {
	in := join(frame(opBinary, ""), frame(opContinuation, "\x02"), frame(fin|opPing, ""), frame(opContinuation, "\x00a"),
		frame(opContinuation, "\x04b"), frame(fin|opContinuation, ""))
	e := readPorts(t, io.MultiReader(split(in), iotest.ErrReader(io.ErrClosedPipe)), 2, ws.V4Channel)
	equal(t, e.lines, []string{`answer "\x8a\x00"`, `data 1 "\x00a"`, `data 1 "\x04b"`})

	in = join(frame(opText, "2YW"), frame(opContinuation, "J"), frame(fin|opPing, ""), frame(opContinuation, "jZ"), frame(fin|opContinuation, "A=="))
	e = readPorts(t, split(in), 2, ws.V4Base64Channel)
	if equal(t, e.lines, []string{`data 1 "a"`, `data 1 "b"`, `answer "\x8a\x00"`, `data 1 "c"`, `data 1 "d"`}); e.err != io.EOF {
		t.Error(e.err)
	}
}

// TestPortSourceBase64 checks that invalid base64 is a protocol error, except on channels that
// PortSource ignores. The API server's wsstream ignores the whole message instead; PortSource
// cannot do that, because it may have returned a part of the message before.
func TestPortSourceBase64(t *testing.T) {
	for in, code := range map[string]int{
		"0YQ==": 0, "0YWI=": 0, "0Y\r\nQ==": 0,
		"0Y": 1007, "0YQ": 1007, "0Y!==": 1007, "0YQ==YQ==": 1007, "0====": 1007, "0YQ=Y": 1007,
		"1!": 0, "8!": 0, "\x00!": 0, "\xff!": 0,
	} {
		e := readPorts(t, split(frame(fin|opText, in)), 2, ws.V4Base64Channel)
		if closeCode(e.err) != code {
			t.Errorf("%q: %v, want %d", in, e.err, code)
		}
	}
}

// TestPortSourceStreams checks that PortSource returns a large message in pieces, in every dialect.
func TestPortSourceStreams(t *testing.T) {
	payload := strings.Repeat("0123456789abcdef", 20*streams.MaxData/16)
	for _, d := range portDialects {
		in := onPort(d, 2, payload)
		for _, src := range []io.Reader{split(in), iotest.HalfReader(split(in)), iotest.OneByteReader(split(in))} {
			r := streams.NewReader(src, nil)
			s := ws.NewPortSource(r, &events{}, 2, d)
			got := 0
			for {
				f, err := s.Next()
				if err == io.EOF {
					break
				}
				if err != nil || !strings.HasPrefix(payload[got:], string(f.Payload())) {
					t.Fatalf("%v after %d bytes: %v", d, got, err)
				}
				got += len(f.Payload())
			}
			if got != len(payload) {
				t.Errorf("%v: %d bytes", d, got)
			}
			r.Close()
		}
		e := readPorts(t, split(in[:len(in)/2]), 2, d)
		if len(e.lines) < 9 || e.err != io.ErrUnexpectedEOF {
			t.Errorf("%v: %d pieces of half a message, then %v", d, len(e.lines), e.err)
		}
	}
}

// TestPortSourceAgain checks that no byte is lost when a read deadline passes, after any number of
// bytes, and Next is called again.
func TestPortSourceAgain(t *testing.T) {
	for _, d := range portDialects {
		in := join(onPort(d, 0, "abc"), frame(fin|opPing, "p"), onPort(d, 3, "d"), onPort(d, 2, "e"), frame(fin|opClose, "\x03\xe8"))
		want := readPorts(t, split(in), 2, d)
		for n := range in {
			e := readPorts(t, io.MultiReader(split(in[:n]), &stall{}, split(in[n:])), 2, d)
			if equal(t, e.lines, want.lines); e.err != io.EOF || e.stalls != 1 {
				t.Errorf("stalled after %d bytes: %d stalls, then %v", n, e.stalls, e.err)
			}
		}
	}
}

// TestPortBombs checks that a client's protocol errors end a port-forward as they end an exec.
func TestPortBombs(t *testing.T) {
	for _, c := range breaches {
		in := io.MultiReader(split(c.in), iotest.ErrReader(errors.New("read on")))
		if e := readPorts(t, in, 2, ws.V4Channel); closeCode(e.err) != c.code {
			t.Errorf("%s: %v, want code %d", c.name, e.err, c.code)
		}
	}
}

// TestPortMemory checks that memory does not grow while a client of a port-forward sends without
// end, whatever the client sends.
func TestPortMemory(t *testing.T) {
	const total, most = 4 << 20, 128 << 10
	for _, c := range []struct {
		name          string
		before, again []byte
		d             ws.Dialect
	}{
		{"fragments of one byte", frame(opBinary, "\x00"), frame(opContinuation, "a"), ws.V4Channel},
		{"fragments of one character", frame(opText, "0"), frame(opContinuation, "a"), ws.V4Base64Channel},
		{"a message of 2^62 bytes", header(fin|opBinary, 127, 1<<62), []byte("payload"), ws.V4Channel},
		{"messages on every connection", nil, slices.Concat(message("\x00a"), message("\x02b"), message("\x04c")), ws.V4Channel},
		{"messages for nobody", nil, message("\x01abc"), ws.V4Channel},
	} {
		src := &flood{b: c.again, n: total}
		r := streams.NewReader(io.MultiReader(split(c.before), src), nil)
		s := ws.NewPortSource(r, mute{}, ws.MaxPorts, c.d)
		var err error
		for err == nil {
			_, err = s.Next()
		}
		if src.n > 0 || closeCode(err) != 0 {
			t.Errorf("%s: %v with %d bytes left", c.name, err, src.n)
		}
		if grown := src.most - src.base; grown > most {
			t.Errorf("%s: %d bytes of memory for %d", c.name, grown, total)
		}
		r.Close()
		runtime.KeepAlive(s)
	}
}
