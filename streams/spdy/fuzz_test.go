package spdy_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// fuzzed is a source under fuzzing, with the sink that can write its frames. The fuzz targets check
// these properties:
//   - the source does not panic
//   - it returns no more frames and payload bytes than it has read bytes
//   - it returns the same frames when it reads the bytes one by one
//   - the sink's bytes give the same frames when they are read again
type fuzzed struct {
	files  string // pattern of the seed files in testdata
	source func(r *streams.Reader, rep streams.Replier) streams.Source
	sink   func(w streams.Writer) streams.Sink
}

func FuzzExecUpstreamSource(f *testing.F) {
	fuzzed{
		files: "*.server",
		source: func(r *streams.Reader, rep streams.Replier) streams.Source {
			return spdy.NewExecUpstreamSource(r, rep, all)
		},
		sink: func(w streams.Writer) streams.Sink {
			var opens wrote
			spdy.NewExecUpstreamSink(&opens, all).Open()
			source := spdy.NewExecDownstreamSource(reader(opens.bytes), new(replies), all)
			for !source.Whole() {
				must(source.Next())
			}
			return spdy.NewExecDownstreamSink(w, source)
		},
	}.run(f)
}

func FuzzExecDownstreamSource(f *testing.F) {
	set := streams.Set{Stdin: true, Stdout: true, Terminal: true}
	fuzzed{
		files: "*.client",
		source: func(r *streams.Reader, rep streams.Replier) streams.Source {
			return spdy.NewExecDownstreamSource(r, rep, set)
		},
		sink: func(w streams.Writer) streams.Sink {
			sink := spdy.NewExecUpstreamSink(w, set)
			sink.Open()
			return sink
		},
	}.run(f)
}

func FuzzRelaySourceClient(f *testing.F) {
	fuzzed{
		files: "*.client",
		source: func(r *streams.Reader, rep streams.Replier) streams.Source {
			return spdy.NewRelaySource(r, rep, spdy.Client, new(spdy.Table))
		},
		sink: func(w streams.Writer) streams.Sink { return spdy.NewRelaySink(w) },
	}.run(f)
}

func FuzzRelaySourceServer(f *testing.F) {
	opens := mobyBytes(syn(1), syn(3), syn(5), syn(7))
	fuzzed{
		files: "*.server",
		source: func(r *streams.Reader, rep streams.Replier) streams.Source {
			return spdy.NewRelaySource(r, rep, spdy.Server, tableOf(opens))
		},
		sink: func(w streams.Writer) streams.Sink { return spdy.NewRelaySink(w) },
	}.run(f)
}

func FuzzPortServerSource(f *testing.F) {
	fuzzed{
		files: "*.client",
		source: func(r *streams.Reader, rep streams.Replier) streams.Source {
			return &openings{spdy.NewPortServerSource(r, rep, new(spdy.Table))}
		},
		sink: func(w streams.Writer) streams.Sink { return &opener{w: w, sink: spdy.NewRelaySink(w)} },
	}.run(f)
}

// openings is a PortServerSource that puts port and kind of each opened stream into the Code of its
// Open frame.
type openings struct{ *spdy.PortServerSource }

func (s *openings) Next() (streams.Frame, error) {
	f, err := s.PortServerSource.Next()
	if err == nil && f.Kind == streams.Open {
		o := s.Opened()
		f.Code = uint32(o.Port) << 1
		if o.Error {
			f.Code++
		}
	}
	return f, err
}

// opener is a sink that writes the Open frames that a source of type openings returns, without
// their request IDs.
type opener struct {
	w      streams.Writer
	sink   streams.Sink
	blocks bytes.Buffer
	framer *moby.Framer
}

func (o *opener) Write(f streams.Frame) error {
	if f.Kind != streams.Open {
		return o.sink.Write(f)
	}
	if err := o.sink.Flush(); err != nil {
		return err
	}
	if o.framer == nil {
		o.framer = must(moby.NewFramer(&o.blocks, nil))
	}
	kind := "data"
	if f.Code&1 == 1 {
		kind = "error"
	}
	o.blocks.Reset()
	o.framer.WriteFrame(syn(moby.StreamId(f.Stream.ID), "streamtype", kind, "port", fmt.Sprint(f.Code>>1)))
	return o.w.WriteRoom(append(make([]byte, streams.Headroom), o.blocks.Bytes()...), streams.Headroom)
}

func (o *opener) Flush() error { return o.sink.Flush() }

func (z fuzzed) run(f *testing.F) {
	for _, file := range must(filepath.Glob(filepath.Join("testdata", z.files))) {
		f.Add(must(os.ReadFile(file)))
	}
	for _, frame := range []string{
		"8003000600000004 00000001", "8003000400ffffff", "8003000300000008 00000003 00000005", "00000003 01000002 6869",
		"8003000100000018 00000001 00000000 0000 7820e3c6a7c2 ffffffffffffffff",
	} {
		f.Add(unhex(frame))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole := z.read(t, in)
		equal(t, "byte by byte", z.read(t, bytewise(in)...), whole)

		w := new(wrote)
		sink := z.sink(w)
		copyFrames(sink, z.source(reader(in), new(replies)))
		sink.Flush()
		equal(t, "what the sink wrote", sayable(z.read(t, w.bytes)), sayable(whole))
	})
}

// read reads the source of z to its end and returns all frames as text. It checks the properties
// that hold for each frame.
func (z fuzzed) read(t *testing.T, p ...[]byte) (lines []string) {
	var total, size int
	for _, b := range p {
		total += len(b)
	}
	in := pieces(p)
	source := z.source(streams.NewReader(&in, nil), new(replies))
	for {
		f, err := source.Next()
		if err != nil {
			return append(lines, "error "+err.Error())
		}
		size += len(f.Payload())
		if f.Off < streams.Headroom || size > total || len(lines) > total {
			t.Fatalf("%d bytes became %d frames with %d bytes, the last with %d bytes of room", total, len(lines), size, f.Off)
		}
		lines = append(lines, fmt.Sprintf("%s %s %d code %d %x", kinds[f.Kind], roleNames[f.Stream.Role], f.Stream.ID, f.Code, f.Payload()))
	}
}

// sayable leaves out the lines that a sink cannot write unchanged: the error at the end; the Open
// frames of an exec, whose streams are opened together; and Close, which an exec's client does not
// write and its server writes differently. sayable also replaces status 0 of a Reset by 5 (CANCEL),
// as a sink does.
func sayable(lines []string) (out []string) {
	for _, l := range lines {
		kind, rest, _ := strings.Cut(l, " ")
		switch {
		case kind == "error", kind == "close", kind == "open" && !strings.HasPrefix(rest, "port"):
			continue
		case kind == "reset":
			l = strings.Replace(l, "code 0 ", "code 5 ", 1)
		}
		out = append(out, l)
	}
	return out
}
