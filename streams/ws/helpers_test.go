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

// frame returns a client's WebSocket frame. Its masking key is neither zero nor symmetric.
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

// header returns the header of a client's WebSocket frame, with the length in the given form.
func header(first, form byte, n uint64) []byte {
	b := []byte{first, 0x80 | form}
	if form == 126 {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	} else {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return append(b, "key!"...)
}

// unmasked converts the bytes of a client's frames to the bytes of a server's frames with the same
// content. The frames may be incomplete or invalid.
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

// message returns a complete binary message of a client.
func message(payload string) []byte { return frame(fin|opBinary, payload) }

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// pieces is an io.Reader that returns one piece per Read, as TCP might deliver them.
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

// everySplit calls the function try with the bytes split in two at every place, in three if the
// parameter in is short, and once byte by byte.
func everySplit(t *testing.T, in []byte, try func(src io.Reader)) {
	t.Helper()
	splits(t, in, 80, try)
}

// splits does the same as the function everySplit, but splits the bytes in three only if the
// parameter in has at most `few` bytes.
func splits(t *testing.T, in []byte, few int, try func(src io.Reader)) {
	t.Helper()
	at := func(cuts ...int) {
		if try(split(in, cuts...)); t.Failed() {
			t.Fatalf("cut at %v of %d", cuts, len(in))
		}
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for a := range min(max(len(in), 1), 600) {
		at(a)
		if len(in) <= few {
			for b := a + 1; b < len(in); b += step {
				at(a, b)
			}
		}
	}
	try(iotest.OneByteReader(split(in)))
}

// stall is an io.Reader that returns an error once, as if a deadline had passed, and then io.EOF.
type stall struct{ done bool }

var errStall = errors.New("stalled")

func (s *stall) Read([]byte) (int, error) {
	if s.done {
		return 0, io.EOF
	}
	s.done = true
	return 0, errStall
}

// events records the frames that a source returned, as text, and the answers that the source gave
// to its Replier.
type events struct {
	client bool // true: the source is on the client side, so events unmasks its answers
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

// read reads an ExecDownstreamSource until it returns an error, and returns what the source returned.
func read(t testing.TB, src io.Reader, d ws.Dialect) *events {
	e := &events{}
	r := streams.NewReader(src, nil)
	defer r.Close()
	e.drain(t, ws.NewExecDownstreamSource(r, e, d), describe)
	return e
}

// readServer reads an ExecUpstreamSource until it returns an error, and returns what the source
// returned.
func readServer(t testing.TB, src io.Reader, d ws.Dialect) *events {
	e := &events{client: true}
	r := streams.NewReader(src, nil)
	defer r.Close()
	e.drain(t, ws.NewExecUpstreamSource(r, e, d), describe)
	return e
}

// drain records the frames of s as the text that the function describe returns. It overwrites every
// frame, as a sink may, and checks the guarantees that hold for each frame.
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

// gist returns lines, the text of a source's frames and answers, in a form that does not depend on
// how the bytes were split. Answers come last, because their place among the data may vary. Data
// lines of one stream that follow one another are joined.
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

// stdinOf returns all data of stdin in lines, the text of a source's frames.
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

// dataStream returns the part of a line before its payload, if the line describes a Data frame.
func dataStream(line string) (string, bool) {
	if !strings.HasPrefix(line, "data ") {
		return "", false
	}
	return line[:strings.IndexByte(line, '"')], true
}

// tunnel reads a server's Tunnel until it returns an error, with reads of at most size bytes.
func tunnel(src io.Reader, size int) (*ws.Tunnel, []byte, *events) {
	return tunnelled(ws.NewTunnel, src, size, false)
}

// clientTunnel reads a client's Tunnel until it returns an error, with reads of at most size bytes.
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

// closeCode returns the Close code of a protocol error, and 0 for any other error.
func closeCode(err error) int {
	if e, ok := errors.AsType[*streams.ProtocolError](err); ok {
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

// writes is a Writer that records what a sink writes, one element per write. It overwrites the free
// bytes before the written bytes, as a layer below the sink may.
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
