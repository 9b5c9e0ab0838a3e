package ws_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"edge/streams"
	"edge/streams/ws"
)

// endless is an io.Reader that returns the field b again and again, at most the size of a TLS
// record per Read.
type endless struct {
	b []byte
	i int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), 16<<10)], e.b[e.i:])
	e.i = (e.i + n) % len(e.b)
	return n, nil
}

// nowhere is a Writer and a Replier that discards everything and costs no time.
type nowhere struct{ mute }

func (nowhere) WriteRoom([]byte, int) error { return nil }

// reads returns a function that reads about n bytes of data from s.
func reads(s streams.Source, n int) func() error {
	got := 0
	return func() error {
		for got += n; got > 0; {
			f, err := s.Next()
			if err != nil {
				return err
			}
			got -= len(f.Payload())
		}
		return nil
	}
}

func writesOf(s streams.Sink, f streams.Frame) func() error {
	return func() error { return s.Write(f) }
}

// paths are the ways in which data passes through this package. step returns a function that moves
// about n bytes (one message or frame) on each call.
var paths = []struct {
	name string
	step func(n int) func() error
}{
	{"ExecDownstreamSource", func(n int) func() error {
		s := ws.NewExecDownstreamSource(streams.NewReader(&endless{b: message("\x00" + strings.Repeat("a", n-1))}, nil), mute{}, ws.V5Channel)
		return reads(s, n-1)
	}},
	{"ExecDownstreamSource pings", func(n int) func() error {
		s := ws.NewExecDownstreamSource(streams.NewReader(&endless{b: join(frame(fin|opPing, "ping"), message("\x00"+strings.Repeat("a", n-1)))}, nil), nowhere{}, ws.V5Channel)
		return func() error {
			_, err := s.Next()
			return err
		}
	}},
	{"ExecDownstreamSource to ExecUpstreamSink, masks kept", func(n int) func() error {
		src := ws.NewExecDownstreamSource(streams.NewReader(&endless{b: message("\x00" + strings.Repeat("a", n-1))}, nil), mute{}, ws.V5Channel)
		src.KeepMasks()
		sink := ws.NewExecUpstreamSink(nowhere{}, ws.V5Channel)
		return func() error {
			f, err := src.Next()
			if err != nil {
				return err
			}
			return sink.Write(f)
		}
	}},
	{"ExecDownstreamSink", func(n int) func() error {
		s := ws.NewExecDownstreamSink(nowhere{}, ws.V5Channel)
		f := stdout(strings.Repeat("a", min(n, streams.MaxData)))
		return func() error { return s.Write(f) }
	}},
	{"ExecDownstreamSink flushed", func(n int) func() error {
		s := ws.NewExecDownstreamSink(nowhere{}, ws.V5Channel)
		f := stdout(strings.Repeat("a", min(n, streams.MaxData)))
		return func() error {
			if err := s.Write(f); err != nil {
				return err
			}
			return s.Flush()
		}
	}},
	{"ExecDownstreamSource base64", func(n int) func() error {
		s := ws.NewExecDownstreamSource(streams.NewReader(&endless{b: frame(fin|opText, text("\x00"+strings.Repeat("a", n-1)))}, nil), mute{}, ws.V4Base64Channel)
		return reads(s, n-1)
	}},
	{"ExecDownstreamSink base64", func(n int) func() error {
		s := ws.NewExecDownstreamSink(nowhere{}, ws.V4Base64Channel)
		return writesOf(s, stdout(strings.Repeat("a", min(n, streams.MaxData))))
	}},
	{"ExecUpstreamSource", func(n int) func() error {
		s := ws.NewExecUpstreamSource(streams.NewReader(&endless{b: server("\x01" + strings.Repeat("a", n-1))}, nil), mute{}, ws.V5Channel)
		return reads(s, n-1)
	}},
	{"ExecUpstreamSource pings", func(n int) func() error {
		s := ws.NewExecUpstreamSource(streams.NewReader(&endless{b: join(says(fin|opPing, "ping"), server("\x01"+strings.Repeat("a", n-1)))}, nil), nowhere{}, ws.V5Channel)
		return reads(s, n-1)
	}},
	{"ExecUpstreamSink", func(n int) func() error {
		s := ws.NewExecUpstreamSink(nowhere{}, ws.V5Channel)
		return writesOf(s, stdin(strings.Repeat("a", min(n, streams.MaxData))))
	}},
	{"ExecUpstreamSink flushed", func(n int) func() error {
		s := ws.NewExecUpstreamSink(nowhere{}, ws.V5Channel)
		write := writesOf(s, stdin(strings.Repeat("a", min(n, streams.MaxData))))
		return func() error {
			if err := write(); err != nil {
				return err
			}
			return s.Flush()
		}
	}},
	{"Tunnel read", func(n int) func() error {
		t := ws.NewTunnel(&endless{b: message(strings.Repeat("a", n))}, nowhere{}, nowhere{})
		buf := make([]byte, n)
		return func() error {
			_, err := io.ReadFull(t, buf)
			return err
		}
	}},
	{"client Tunnel read", func(n int) func() error {
		t := ws.NewClientTunnel(&endless{b: server(strings.Repeat("a", n))}, nowhere{}, nowhere{})
		buf := make([]byte, n)
		return func() error {
			_, err := io.ReadFull(t, buf)
			return err
		}
	}},
	{"client Tunnel write", func(n int) func() error {
		t := ws.NewClientTunnel(nil, nowhere{}, nowhere{})
		b := make([]byte, streams.Headroom+n)
		return func() error { return t.WriteRoom(b, streams.Headroom) }
	}},
	{"Tunnel write", func(n int) func() error {
		t := ws.NewTunnel(nil, nowhere{}, nowhere{})
		b := make([]byte, streams.Headroom+n)
		return func() error { return t.WriteRoom(b, streams.Headroom) }
	}},
}

// TestAllocations checks that reading and writing data allocates nothing.
func TestAllocations(t *testing.T) {
	for _, p := range paths {
		for _, n := range []int{2, 100, 4 << 10, 32 << 10} {
			step := p.step(n)
			if got := testing.AllocsPerRun(1000, func() {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}); got != 0 {
				t.Errorf("%s of %d bytes: %v allocations", p.name, n, got)
			}
		}
	}
}

func BenchmarkPaths(b *testing.B) {
	for _, p := range paths {
		for _, n := range []int{100, 4 << 10, 32 << 10} {
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(p.name, " ", "-"), n), func(b *testing.B) {
				step := p.step(n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if err := step(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
