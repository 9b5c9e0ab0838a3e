package spdy_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"edge/streams"
	"edge/streams/spdy"
)

// nowhere is a streams.Writer that discards everything.
type nowhere struct{}

func (nowhere) WriteRoom([]byte, int) error { return nil }

// A way is one direction of a benchmarked session: a source that reads the same bytes over and
// over, and the sink that writes the source's frames to the other side.
type way struct {
	name string
	new  func(payload string) (streams.Source, streams.Sink)
}

var ways = []way{
	{"exec up", func(payload string) (streams.Source, streams.Sink) {
		in := io.MultiReader(strings.NewReader(string(mobyBytes(opens()...))), endless(mobyBytes(data(3, false, payload))))
		source := spdy.NewExecDownstreamSource(streams.NewReader(in, nil), new(replies), all)
		for !source.Whole() {
			must(source.Next())
		}
		return source, spdy.NewExecUpstreamSink(nowhere{}, all)
	}},
	{"exec down", func(payload string) (streams.Source, streams.Sink) {
		server := spdy.NewExecDownstreamSource(reader(mobyBytes(opens()...)), new(replies), all)
		for !server.Whole() {
			must(server.Next())
		}
		in := endless(mobyBytes(data(5, false, payload)))
		return spdy.NewExecUpstreamSource(streams.NewReader(in, nil), new(replies), all), spdy.NewExecDownstreamSink(nowhere{}, server)
	}},
	{"ports", func(payload string) (streams.Source, streams.Sink) {
		in := endless(mobyBytes(data(3, false, payload)))
		return spdy.NewRelaySource(streams.NewReader(in, nil), new(replies), spdy.Server, opened(1, 3)), spdy.NewRelaySink(nowhere{})
	}},
	{"resize", func(string) (streams.Source, streams.Sink) {
		set := streams.Set{Stdin: true, Stdout: true, Terminal: true}
		open := mobyBytes(syn(1, "streamType", "error"), syn(3, "streamType", "stdin"), syn(5, "streamType", "stdout"), syn(7, "streamType", "resize"))
		in := io.MultiReader(strings.NewReader(string(open)), endless(mobyBytes(data(7, false, "{\"Width\":80,\"Height\":24}\n"))))
		source := spdy.NewExecDownstreamSource(streams.NewReader(in, nil), new(replies), set)
		for !source.Whole() {
			must(source.Next())
		}
		return source, spdy.NewExecUpstreamSink(nowhere{}, set)
	}},
}

var sizesOfData = []int{100, 4 << 10, 32 << 10}

// BenchmarkRelay moves frames from a source to the sink of the other side of the session, without a
// socket or TLS.
func BenchmarkRelay(b *testing.B) {
	for _, w := range ways {
		for _, size := range sizesOfData {
			if w.name == "resize" && size > 100 {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(w.name, " ", "-"), size), func(b *testing.B) {
				source, sink := w.new(strings.Repeat("x", size))
				var n int64
				b.ReportAllocs()
				for b.Loop() {
					f := must(source.Next())
					n += int64(len(f.Payload()))
					sink.Write(f)
				}
				b.SetBytes(n / int64(b.N))
			})
		}
	}
}

// BenchmarkBlock measures the time to open a stream of a port-forward, including the limit checks
// of its header block.
func BenchmarkBlock(b *testing.B) {
	in := mobyBytes(syn(1, "streamType", "error", "port", "80", "requestID", "0"))
	b.ReportAllocs()
	for b.Loop() {
		must(spdy.NewRelaySource(reader(in), new(replies), spdy.Client, new(spdy.Table)).Next())
	}
}
