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
	lines  []string
	stalls int
	err    error
}

func (e *events) Pong(b []byte) { e.lines = append(e.lines, fmt.Sprintf("answer %q", b)) }

func (e *events) Reply(b []byte) error {
	e.lines = append(e.lines, fmt.Sprintf("reply %q", b))
	return nil
}

// read runs an ExecServerSource to its end. It spoils the room of every frame, as a
// sink does, and checks the promises that hold for each.
func read(t testing.TB, src io.Reader, d ws.Dialect) *events {
	e := &events{}
	r := streams.NewReader(src, nil)
	defer r.Close()
	s := ws.NewExecServerSource(r, e, d)
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
			return e
		}
		if f.Off < streams.Headroom || f.Off > len(f.Buf) {
			t.Fatalf("frame %+v has no room", f)
		}
		if len(f.Payload()) > streams.MaxData || f.Kind == streams.Data && len(f.Payload()) == 0 {
			t.Fatalf("frame of %d bytes", len(f.Payload()))
		}
		for i := range f.Off {
			f.Buf[i] = 0xee
		}
		e.lines = append(e.lines, describe(t, f))
	}
}

func describe(t testing.TB, f streams.Frame) string {
	role := map[streams.Role]string{streams.Stdin: "stdin", streams.Terminal: "terminal"}[f.Stream.Role]
	switch f.Kind {
	case streams.Data:
		return fmt.Sprintf("data %s %q", role, f.Payload())
	case streams.Resize:
		return fmt.Sprintf("resize %s %q", role, f.Payload())
	case streams.HalfClose:
		return "half-close " + role
	case streams.Close:
		return fmt.Sprintf("close %d", f.Code)
	}
	t.Fatalf("frame of kind %d", f.Kind)
	return ""
}

// tunnel runs a Tunnel to its end, with reads of at most size bytes.
func tunnel(src io.Reader, size int) (*ws.Tunnel, []byte, *events) {
	e := &events{}
	t := ws.NewTunnel(src, e, nil)
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
