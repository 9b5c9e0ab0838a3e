package spdy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"edge/streams"
)

// pieces is an io.Reader that returns one piece per Read.
type pieces [][]byte

func (p *pieces) Read(b []byte) (int, error) {
	for len(*p) > 0 && len((*p)[0]) == 0 {
		*p = (*p)[1:]
	}
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	(*p)[0] = (*p)[0][n:]
	return n, nil
}

// replies is a Replier that stores the answers of a source. Like the Replier of a real session, it
// accepts only maxReplies answers while the peer reads nothing.
type replies struct{ said [][]byte }

const maxReplies = 64

func (r *replies) Pong(b []byte) { r.said = append(r.said, bytes.Clone(b)) }

func (r *replies) Reply(b []byte) error {
	if len(r.said) == maxReplies {
		return streams.ErrReplies
	}
	r.said = append(r.said, bytes.Clone(b))
	return nil
}

// wrote is a Writer that stores the bytes that a sink writes. It overwrites the free bytes before
// them, as a layer below the sink may.
type wrote struct {
	mu     sync.Mutex
	bytes  []byte
	writes int
	err    error
}

func (w *wrote) WriteRoom(b []byte, off int) error {
	if off < streams.Headroom-8 {
		return fmt.Errorf("only %d bytes of room", off)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.bytes = append(w.bytes, b[off:]...)
	w.writes++
	for i := range b[:off] {
		b[i] = 0xa5
	}
	return nil
}

var kinds = map[streams.Kind]string{
	streams.Open: "open", streams.Accept: "accept", streams.Headers: "headers", streams.Data: "data",
	streams.HalfClose: "half-close", streams.Reset: "reset", streams.Resize: "resize",
	streams.Status: "status", streams.Close: "close",
}

var roleNames = map[streams.Role]string{
	0: "session", streams.Stdin: "stdin", streams.Stdout: "stdout", streams.Stderr: "stderr",
	streams.Error: "error", streams.Terminal: "terminal", streams.Port: "port",
}

// show returns a frame as one line of text: kind, stream, ID, code, payload.
func show(f streams.Frame) string {
	s := kinds[f.Kind] + " " + roleNames[f.Stream.Role]
	if f.Stream.ID != 0 {
		s += fmt.Sprintf(" %d", f.Stream.ID)
	}
	if f.Code != 0 {
		s += fmt.Sprintf(" code %d", f.Code)
	}
	if p := f.Payload(); len(p) > 64 {
		s += fmt.Sprintf(" %q... %d bytes", p[:16], len(p))
	} else if len(p) > 0 {
		s += fmt.Sprintf(" %q", p)
	}
	return s
}

// drain reads a source to its end, and returns as text all its frames and the error at the end. It
// checks the properties that hold for each frame.
func drain(t testing.TB, src streams.Source) []string {
	t.Helper()
	var lines []string
	for {
		f, err := src.Next()
		if err != nil {
			if again, err2 := src.Next(); err2 == nil {
				t.Fatalf("%s after the error %v", show(again), err)
			}
			return append(lines, "error "+err.Error())
		}
		if f.Kind == 0 || f.Off < streams.Headroom || f.Off > len(f.Buf) {
			t.Fatalf("frame %d of kind %d has %d bytes of room", len(lines), f.Kind, f.Off)
		}
		if len(f.Payload()) > streams.MaxData && f.Kind != streams.Status {
			t.Fatalf("a payload of %d bytes", len(f.Payload()))
		}
		lines = append(lines, show(f))
		clear(f.Buf[:f.Off]) // the holder of a frame may overwrite these bytes
	}
}

// equal compares two lists of frames in text form, and fails the test if they differ.
func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Fatalf("%s:\n--- got\n%s\n--- want\n%s", what, g, w)
	}
}

// roomy returns a frame with free bytes before the payload, like the frames of a source.
func roomy(k streams.Kind, s streams.Stream, payload string) streams.Frame {
	return streams.Frame{
		Kind: k, Stream: s,
		Buf: append(make([]byte, streams.Headroom), payload...), Off: streams.Headroom,
	}
}

func role(r streams.Role) streams.Stream { return streams.Stream{Role: r} }

// protocolError returns the code of err. It fails the test if err is not a *ProtocolError.
func protocolError(t testing.TB, err error) int {
	t.Helper()
	var p *streams.ProtocolError
	if !errors.As(err, &p) {
		t.Fatalf("%v is no protocol error", err)
	}
	return p.Code
}

// must returns v, and panics if err is not nil.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
