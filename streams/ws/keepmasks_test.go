package ws_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"edge/streams"
	"edge/streams/ws"
)

// unmasking is a source that returns the frames of another source unmasked, as RFC 6455 section 5.3
// defines it.
type unmasking struct {
	streams.Source
	t     testing.TB
	masks int // number of frames that were unmasked
}

func (u *unmasking) Next() (streams.Frame, error) {
	f, err := u.Source.Next()
	if f.Mask == 0 {
		return f, err
	}
	u.masks++
	if f.Kind != streams.Data || len(f.Payload()) < streams.Small {
		u.t.Errorf("kind %d of %d bytes is masked", f.Kind, len(f.Payload()))
	}
	toggle(f)
	f.Mask = 0
	return f, err
}

// toggle masks or unmasks the payload of f with the key f.Mask, byte by byte.
func toggle(f streams.Frame) {
	for i := range f.Payload() {
		f.Payload()[i] ^= byte(f.Mask >> (8 * (i % 4)))
	}
}

// readKept is like the function read, which reads an ExecDownstreamSource until it returns an error,
// but sets KeepMasks. It also returns the number of frames that were left masked.
func readKept(t testing.TB, src io.Reader, d ws.Dialect) (e *events, masks int) {
	e = &events{}
	r := streams.NewReader(src, nil)
	defer r.Close()
	s := ws.NewExecDownstreamSource(r, e, d)
	s.KeepMasks()
	u := &unmasking{Source: s, t: t}
	e.drain(t, u, describe)
	return e, u.masks
}

// readTwice returns the same as the function read, and checks that readKept returns the same too.
func readTwice(t testing.TB, src io.Reader, d ws.Dialect) *events {
	in, err := io.ReadAll(src)
	if err != nil {
		t.Fatal(err)
	}
	e := read(t, bytes.NewReader(in), d)
	kept, _ := readKept(t, bytes.NewReader(in), d)
	if !slices.Equal(e.lines, kept.lines) || fmt.Sprint(e.err) != fmt.Sprint(kept.err) {
		t.Fatalf("unmasked: %q, %v\nmasks kept: %q, %v", e.lines, e.err, kept.lines, kept.err)
	}
	return e
}

// numbers returns n bytes in which no four bytes equal the four before them.
func numbers(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:n]
}

// keptFrames returns a client's messages and fragments of stdin in all sizes that take different
// code paths, with pings and terminal sizes between them. It also returns the stdin in them.
func keptFrames() (in []byte, stdin string) {
	data := numbers(2 << 20)
	next := func(n int) string {
		stdin, data = stdin+data[:n], data[n:]
		return stdin[len(stdin)-n:]
	}
	for _, n := range []int{1, streams.Small - 1, streams.Small, streams.Small + 1, streams.Small + 2, streams.Small + 3, streams.MaxData - 1, streams.MaxData, streams.MaxData + 1, 2*streams.MaxData + streams.Small + 1, 100_003} {
		in = append(in, message("\x00"+next(n))...)
		in = append(in, frame(fin|opPing, "p")...)
		in = append(in, frame(opBinary, "\x00"+next(n))...)
		in = append(in, frame(opContinuation, next(n))...)
		in = append(in, frame(fin|opPing, "")...)
		in = append(in, frame(opContinuation, next(1))...)
		in = append(in, frame(fin|opContinuation, next(n))...)
		in = append(in, message("\x04"+size)...)
	}
	return in, stdin
}

// TestKeepMasks checks that stdin that KeepMasks leaves masked arrives unchanged through a client's
// sink, and that the sink masks it with keys of its own.
func TestKeepMasks(t *testing.T) {
	in, want := keptFrames()
	for _, src := range []io.Reader{bytes.NewReader(in), iotest.HalfReader(bytes.NewReader(in)), &pieces{left: slices.Collect(slices.Chunk(in, 16<<10))}} {
		r := streams.NewReader(src, nil)
		source, w := ws.NewExecDownstreamSource(r, &events{}, ws.V5Channel), &writes{}
		source.KeepMasks()
		sink, kept, handedOn := ws.NewExecUpstreamSink(w, ws.V5Channel), 0, 0
		for {
			f, err := source.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			under := f.Mask
			if err := sink.Write(f); err != nil {
				t.Fatal(err)
			}
			if under == 0 {
				continue
			}
			kept++
			if key := w.out[len(w.out)-1][4:8]; bytes.HasPrefix(key, frame(fin|opBinary, "")[2:5]) {
				// The sink's key begins with the first 3 bytes of the client's key: the sink has used
				// the client's key again, or the bytes are equal by chance (once in 2^24).
				handedOn++
			}
		}
		sink.Flush()
		r.Close()
		if kept < 30 || handedOn > 1 {
			t.Errorf("%d masks were kept, %d keys of the client's were handed on", kept, handedOn)
		}
		if got := stdinOf(read(t, bytes.NewReader(slices.Concat(w.out...)), ws.V5Channel).lines); got != want {
			t.Errorf("%d bytes of stdin arrived, of %d, or others", len(got), len(want))
		}
	}
}

// TestExecUpstreamSinkMasked checks that ExecUpstreamSink writes a masked frame correctly, with any
// amount of free bytes before its payload and also if the sink splits the frame.
func TestExecUpstreamSinkMasked(t *testing.T) {
	want := numbers(2*streams.MaxData + 3)
	for off := range streams.Headroom + 1 {
		f := streams.Frame{Kind: streams.Data, Stream: streams.Stream{Role: streams.Stdin}, Mask: 0xff3c8001, Buf: append(make([]byte, off), want...), Off: off}
		toggle(f)
		out := written(t, []streams.Frame{f}, func(w streams.Writer) streams.Sink { return ws.NewExecUpstreamSink(w, ws.V4Channel) })
		if got := stdinOf(read(t, strings.NewReader(strings.Join(out, "")), ws.V4Channel).lines); got != want {
			t.Errorf("room %d: wrote other bytes", off)
		}
	}
}

// TestKeepMasksBase64 checks that KeepMasks does not apply to base64 messages: they are always
// unmasked.
func TestKeepMasksBase64(t *testing.T) {
	in := frame(fin|opText, text("\x00"+numbers(3*streams.Small)))
	e, masks := readKept(t, bytes.NewReader(in), ws.V4Base64Channel)
	if masks != 0 || stdinOf(e.lines) != numbers(3*streams.Small) {
		t.Errorf("%d masks kept, or other bytes", masks)
	}
}
