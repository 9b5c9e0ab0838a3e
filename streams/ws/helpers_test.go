package ws_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"edge/streams"
	"edge/streams/ws"
)

const (
	fin = 0x80

	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// frame is a client's frame; its key is not zero and not symmetric.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := [4]byte{0x5a, 0x01, 0xf0, byte(len(payload))}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
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

// unmasked is a server's frames that say the same as a client's, be they whole,
// right, or not.
func unmasked(b []byte) []byte {
	var out []byte
	for len(b) >= 2 {
		n, head := uint64(b[1]&0x7f), 2
		switch {
		case n == 126 && len(b) >= 4:
			n, head = uint64(binary.BigEndian.Uint16(b[2:])), 4
		case n == 127 && len(b) >= 10:
			n, head = binary.BigEndian.Uint64(b[2:]), 10
		}
		if len(b) < head+4 {
			break
		}
		out = append(append(out, b[0], b[1]&0x7f), b[2:head]...)
		key := b[head : head+4]
		b = b[head+4:]
		n = min(n, uint64(len(b)))
		for i := range n {
			out = append(out, b[i]^key[i%4])
		}
		b = b[n:]
	}
	return append(out, b...)
}

// message is a whole binary message.
func message(payload string) []byte { return frame(fin|opBinary, payload) }

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// pieces reads one piece per Read, as TCP might deliver them.
type pieces struct{ left [][]byte }

func split(b []byte, at ...int) *pieces {
	p, from := &pieces{}, 0
	for _, to := range append(at, len(b)) {
		if to > from {
			p.left = append(p.left, b[from:to])
			from = to
		}
	}
	return p
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	return n, nil
}

// everySplit calls try with the bytes cut at every place in two, and in three
// where they are few, and once byte by byte.
func everySplit(t *testing.T, in []byte, try func(src io.Reader)) {
	t.Helper()
	splits(t, in, 80, try)
}

// splits cuts in three what has at most few bytes.
func splits(t *testing.T, in []byte, few int, try func(src io.Reader)) {
	t.Helper()
	at := func(cuts ...int) {
		if try(split(in, cuts...)); t.Failed() {
			t.Fatalf("cut at %v of %d", cuts, len(in))
		}
	}
	for a := range min(max(len(in), 1), 600) {
		at(a)
		if len(in) <= few {
			for b := a + 1; b < len(in); b++ {
				at(a, b)
			}
		}
	}
	try(iotest.OneByteReader(split(in)))
}

// stall fails once and then has nothing, as if a deadline had passed.
type stall struct{ done bool }

var errStall = errors.New("stalled")

func (s *stall) Read([]byte) (int, error) {
	if s.done {
		return 0, io.EOF
	}
	s.done = true
	return 0, errStall
}

// events is what a source said, in words, and what it gave its Replier.
type events struct {
	client bool // the source is one: what it answers has a mask, which is taken off
	lines  []string
	stalls int
	err    error
}

func (e *events) Pong(b []byte) { e.lines = append(e.lines, fmt.Sprintf("answer %q", e.open(b))) }

func (e *events) Reply(b []byte) error {
	e.lines = append(e.lines, fmt.Sprintf("reply %q", e.open(b)))
	return nil
}

func (e *events) open(b []byte) []byte {
	if masked := b[1]&0x80 != 0; masked != e.client {
		panic(fmt.Sprintf("answer %q, masked %v", b, masked))
	}
	if e.client {
		b = unmasked(b)
	}
	return b
}

// read runs an ExecServerSource to its end.
func read(t testing.TB, src io.Reader, d ws.Dialect) *events {
	e := &events{}
	r := streams.NewReader(src, nil)
	defer r.Close()
	e.drain(t, ws.NewExecServerSource(r, e, d), describe)
	return e
}

// readServer runs an ExecClientSource to its end.
func readServer(t testing.TB, src io.Reader, d ws.Dialect) *events {
	e := &events{client: true}
	r := streams.NewReader(src, nil)
	defer r.Close()
	e.drain(t, ws.NewExecClientSource(r, e, d), describe)
	return e
}

// drain notes what a source says, in the words of describe. It spoils every frame, as a sink may, and
// checks the promises that hold for each.
func (e *events) drain(t testing.TB, s streams.Source, describe func(testing.TB, streams.Frame) string) {
	for {
		f, err := s.Next()
		if err == errStall {
			e.stalls++
			continue
		}
		if err != nil {
			e.err = err
			if _, again := s.Next(); !errors.Is(again, err) && again != io.EOF {
				t.Errorf("after %v: %v", err, again)
			}
			return
		}
		if f.Off < streams.Headroom || f.Off > len(f.Buf) {
			t.Fatalf("frame %+v has no room", f)
		}
		if f.Kind == streams.Data && (len(f.Payload()) == 0 || len(f.Payload()) > streams.MaxData) {
			t.Fatalf("Data of %d bytes", len(f.Payload()))
		}
		e.lines = append(e.lines, describe(t, f))
		for i := range f.Buf {
			f.Buf[i] = 0xee
		}
	}
}

var roles = map[streams.Role]string{
	streams.Stdin: "stdin", streams.Stdout: "stdout", streams.Stderr: "stderr", streams.Error: "error", streams.Terminal: "terminal",
}

func describe(t testing.TB, f streams.Frame) string {
	role := roles[f.Stream.Role]
	switch f.Kind {
	case streams.Data:
		return fmt.Sprintf("data %s %q", role, f.Payload())
	case streams.Resize:
		return fmt.Sprintf("resize %s %q", role, f.Payload())
	case streams.Status:
		return fmt.Sprintf("status %s %q", role, f.Payload())
	case streams.HalfClose:
		return "half-close " + role
	case streams.Close:
		return fmt.Sprintf("close %d", f.Code)
	}
	t.Fatalf("frame of kind %d", f.Kind)
	return ""
}

// gist is what lines say, wherever it was cut: first the answers, which have no
// place among the data, then the rest, with what follows data of its own stream
// put to it.
func gist(lines []string) []string {
	var answers, rest []string
	for _, l := range lines {
		stream, ok := dataStream(l)
		switch n := len(rest) - 1; {
		case strings.HasPrefix(l, "answer "):
			answers = append(answers, l)
		case ok && n >= 0 && strings.HasPrefix(rest[n], stream):
			rest[n] = rest[n][:len(rest[n])-1] + l[len(stream)+1:]
		default:
			rest = append(rest, l)
		}
	}
	return append(answers, rest...)
}

// stdinOf is all data of stdin in lines.
func stdinOf(lines []string) string {
	var all strings.Builder
	for _, l := range lines {
		var s string
		if n, _ := fmt.Sscanf(l, "data stdin %q", &s); n == 1 {
			all.WriteString(s)
		}
	}
	return all.String()
}

// dataStream is what a line of data begins with, up to its payload.
func dataStream(line string) (string, bool) {
	if !strings.HasPrefix(line, "data ") {
		return "", false
	}
	return line[:strings.IndexByte(line, '"')], true
}

// tunnel runs a server's Tunnel to its end, with reads of at most size bytes.
func tunnel(src io.Reader, size int) (*ws.Tunnel, []byte, *events) {
	return tunnelled(ws.NewTunnel, src, size, false)
}

// clientTunnel does so with a client's.
func clientTunnel(src io.Reader, size int) (*ws.Tunnel, []byte, *events) {
	return tunnelled(ws.NewClientTunnel, src, size, true)
}

func tunnelled(open func(io.Reader, streams.Replier, streams.Writer) *ws.Tunnel, src io.Reader, size int, client bool) (*ws.Tunnel, []byte, *events) {
	e := &events{client: client}
	t := open(src, e, nil)
	var all []byte
	buf := make([]byte, size)
	for {
		n, err := t.Read(buf)
		all = append(all, buf[:n]...)
		if err == errStall {
			e.stalls++
			continue
		}
		if err != nil {
			e.err = err
			return t, all, e
		}
	}
}

// closeCode is the code of a breach; 0 for any other error.
func closeCode(err error) int {
	var e *streams.ProtocolError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// writes collects what a sink writes, one entry per write. It spoils the room,
// as a layer below may.
type writes struct {
	out [][]byte
	err error
}

func (w *writes) WriteRoom(b []byte, off int) error {
	for i := range off {
		b[i] = 0xee
	}
	w.out = append(w.out, bytes.Clone(b[off:]))
	return w.err
}
