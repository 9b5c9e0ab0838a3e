package spdy_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"runtime"
	"strings"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// maxBomb limits the memory, in bytes, that a session may allocate for the input of one test, in
// total.
const maxBomb = 1 << 20

// TestSpdyBombs checks that huge counts, lengths and IDs, and highly compressed blocks, end the
// session and cost little memory. See CVE-2026-35469 for the counts.
func TestSpdyBombs(t *testing.T) {
	headerFrame := func(kind, fixed string, block []byte) []byte {
		f := unhex("8003" + kind + "00000000" + fixed)
		f = append(f, block...)
		binary.BigEndian.PutUint32(f[4:], uint32(len(f)-8))
		return f
	}
	synStream := func(block []byte) []byte { return headerFrame("0001", "00000001 00000000 0000", block) }
	headers := func(block []byte) []byte { return headerFrame("0008", "00000001", block) }
	reply := func(block []byte) []byte { return headerFrame("0002", "00000001", block) }

	count := packed([]byte{0xff, 0xff, 0xff, 0xff})
	name := packed([]byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
	value := packed([]byte{0, 0, 0, 1, 0, 0, 0, 1, 'a', 0xff, 0xff, 0xff, 0xff})
	ratio := packed(append([]byte{0, 0, 0, 1, 0, 0, 0, 1, 'a', 0, 0x40, 0, 0}, make([]byte, 1<<22)...))
	many := packed(append([]byte{0, 0, 0xff, 0xff}, bytes.Repeat([]byte{0, 0, 0, 1, 'a', 0, 0, 0, 1, 'b'}, 0xffff)...))

	client := func(r *streams.Reader) streams.Source {
		return spdy.NewRelaySource(r, new(replies), spdy.Client, new(spdy.Table))
	}
	portServer := func(r *streams.Reader) streams.Source {
		return spdy.NewPortServerSource(r, new(replies), new(spdy.Table))
	}
	table := opened(1)
	server := func(r *streams.Reader) streams.Source {
		return spdy.NewRelaySource(r, new(replies), spdy.Server, table)
	}
	execServer := func(r *streams.Reader) streams.Source {
		return spdy.NewExecDownstreamSource(r, new(replies), all)
	}
	execClient := func(r *streams.Reader) streams.Source {
		return spdy.NewExecUpstreamSource(r, new(replies), all)
	}
	from := func(b []byte) io.Reader { return bytes.NewReader(b) }

	tests := []struct {
		name   string
		in     io.Reader
		source func(*streams.Reader) streams.Source
		code   int
	}{
		{"count, exec", from(synStream(count)), execServer, streams.CloseTooBig},
		{"count, ports", from(synStream(count)), client, streams.CloseTooBig},
		{"count, ports that end here", from(synStream(count)), portServer, streams.CloseTooBig},
		{"value length, ports that end here", from(synStream(value)), portServer, streams.CloseTooBig},
		{"1000:1, ports that end here", from(synStream(ratio)), portServer, streams.CloseTooBig},
		{"count, answer", from(reply(count)), server, streams.CloseTooBig},
		{"count, headers", from(headers(count)), server, streams.CloseTooBig},
		{"name length, exec", from(synStream(name)), execServer, streams.CloseTooBig},
		{"name length, ports", from(synStream(name)), client, streams.CloseTooBig},
		{"value length, exec", from(synStream(value)), execServer, streams.CloseTooBig},
		{"value length, ports", from(synStream(value)), client, streams.CloseTooBig},
		{"1000:1, exec", from(synStream(ratio)), execServer, streams.CloseTooBig},
		{"1000:1, ports", from(synStream(ratio)), client, streams.CloseTooBig},
		{"1000:1, answer", from(reply(ratio)), server, streams.CloseTooBig},
		{"65,535 headers, exec", from(synStream(many)), execServer, streams.CloseTooBig},
		{"65,535 headers, ports", from(synStream(many)), client, streams.CloseTooBig},
		{"a block of 16 MiB, exec", endless(append(unhex("80030001 00ffffff"), make([]byte, 100)...)), execServer, streams.CloseProtocol},
		{"a block of 16 MiB, ports", endless(append(unhex("80030001 00ffffff"), make([]byte, 100)...)), client, streams.CloseProtocol},
		{"a status without end", endless(mobyBytes(data(1, false, "an error that goes on and on"))), execClient, streams.CloseTooBig},
		{"a size without end", io.MultiReader(from(mobyBytes(syn(1, "streamType", "resize"), data(1, false, "{"))), endless(mobyBytes(data(1, false, "1")))),
			func(r *streams.Reader) streams.Source {
				return spdy.NewExecDownstreamSource(r, new(replies), streams.Set{Terminal: true})
			}, streams.CloseTooBig},
		{"streams by the thousand, exec", from(thousands()), execServer, streams.CloseProtocol},
		{"streams by the thousand, ports", from(thousands()), client, streams.CloseTooBig},
		{"one stream over and over", endless(synStream(packed([]byte{0, 0, 0, 0}))), client, streams.CloseProtocol},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			source := test.source(streams.NewReader(test.in, nil))
			err := last(source)
			runtime.ReadMemStats(&after)
			if code := protocolError(t, err); code != test.code {
				t.Errorf("code %d: %v", code, err)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > maxBomb {
				t.Errorf("took %d bytes", took)
			}
		})
	}
}

// last reads a source until it returns an error, and returns that error.
func last(source streams.Source) error {
	for {
		if _, err := source.Next(); err != nil {
			return err
		}
	}
}

// packed returns a header block compressed by zlib.
func packed(plain []byte) []byte {
	var b bytes.Buffer
	w := must(zlib.NewWriterLevelDict(&b, zlib.BestCompression, spdy.Dictionary))
	w.Write(plain)
	w.Flush()
	return b.Bytes()
}

// thousands returns the bytes of more SYN_STREAMs than MaxStreams.
func thousands() []byte {
	frames := make([]moby.Frame, spdy.MaxStreams+1)
	for i := range frames {
		frames[i] = syn(moby.StreamId(2*i+1), "a", "b")
	}
	return mobyBytes(frames...)
}

// TestStreamsInTurn checks that streams that have ended do not count towards MaxStreams.
func TestStreamsInTurn(t *testing.T) {
	table := new(spdy.Table)
	var frames []moby.Frame
	for i := range 3 * spdy.MaxStreams {
		id := moby.StreamId(2*i + 1)
		frames = append(frames, syn(id), reset(id))
	}
	source := spdy.NewRelaySource(reader(mobyBytes(frames...)), new(replies), spdy.Client, table)
	if err := last(source); err != io.EOF || table.Len() != 0 {
		t.Errorf("%d streams are open: %v", table.Len(), err)
	}
}

// TestLongData checks that a data frame of the maximum length is returned in pieces.
func TestLongData(t *testing.T) {
	in := io.MultiReader(bytes.NewReader(unhex("00000005 01ffffff")), io.LimitReader(endless([]byte("x")), 1<<24-1))
	source := spdy.NewExecUpstreamSource(streams.NewReader(in, nil), new(replies), all)
	n := 0
	for {
		f := must(source.Next())
		if f.Kind == streams.HalfClose {
			break
		}
		if p := f.Payload(); len(p) > streams.MaxData || strings.Trim(string(p), "x") != "" {
			t.Fatalf("a piece of %d bytes", len(p))
		}
		n += len(f.Payload())
	}
	if n != 1<<24-1 {
		t.Errorf("%d bytes", n)
	}
}

// TestIdleMemory checks the memory of an idle session. An exec holds no zlib window and no buffer.
// A port-forward holds one zlib window for each direction.
func TestIdleMemory(t *testing.T) {
	opens := mobyBytes(opens()...)
	replies1, opens1 := mobyBytes(&moby.SynReplyFrame{StreamId: 1}), mobyBytes(syn(1))
	tests := []struct {
		name  string
		most  uint64
		begin func() any
	}{
		{"exec", 4 << 10, func() any {
			server := spdy.NewExecDownstreamSource(reader(opens), new(replies), all)
			client := spdy.NewExecUpstreamSource(reader(replies1), new(replies), all)
			last(server)
			last(client)
			return []any{server, client, spdy.NewExecUpstreamSink(nowhere{}, all), spdy.NewExecDownstreamSink(nowhere{}, server)}
		}},
		{"ports", 96 << 10, func() any {
			table := new(spdy.Table)
			client := spdy.NewRelaySource(reader(opens1), new(replies), spdy.Client, table)
			server := spdy.NewRelaySource(reader(replies1), new(replies), spdy.Server, table)
			last(client)
			last(server)
			return []any{server, client, spdy.NewRelaySink(nowhere{}), spdy.NewRelaySink(nowhere{})}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const n = 200
			sessions := make([]any, n)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range sessions {
				sessions[i] = test.begin()
			}
			runtime.GC()
			runtime.GC() // sync.Pool releases buffers at the second GC
			runtime.ReadMemStats(&after)
			took := (after.HeapAlloc - min(after.HeapAlloc, before.HeapAlloc)) / n
			t.Logf("%d bytes", took)
			if took > test.most {
				t.Errorf("an idle session holds %d bytes", took)
			}
			runtime.KeepAlive(sessions)
		})
	}
}
