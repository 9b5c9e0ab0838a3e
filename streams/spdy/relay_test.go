package spdy_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// TestRelayUnchanged checks that a relay of the captured port-forward sessions writes the same
// bytes that it reads.
func TestRelayUnchanged(t *testing.T) {
	for _, c := range captures {
		if !c.ports {
			continue
		}
		for file, source := range sides(c.name, c.set, c.ports) {
			b := must(os.ReadFile(filepath.Join("testdata", file)))
			w := new(wrote)
			sink := spdy.NewRelaySink(w)
			if err := copyFrames(sink, source(reader(b), new(replies))); err != io.EOF {
				t.Fatal(err)
			}
			if string(w.bytes) != string(b) {
				t.Errorf("%s:\n--- read\n%x\n--- wrote\n%x", file, b, w.bytes)
			}
		}
	}
}

// TestRelayClient checks the frames that RelaySource returns for the bytes of a port-forward
// client.
func TestRelayClient(t *testing.T) {
	fin := func(f *moby.SynStreamFrame, flags moby.ControlFlags) *moby.SynStreamFrame {
		f.CFHeader.Flags = flags
		return f
	}
	const endsBadly = "error streams: SPDY: "
	tests := []struct {
		name   string
		frames []moby.Frame
		want   []string // the expected frames, without their header blocks
		open   int
	}{
		{"streams", []moby.Frame{syn(1, "port", "80"), data(1, true, ""), syn(3, "port", "80"), data(3, false, "x"), data(3, true, "y")},
			[]string{"open 1", "half-close 1", "open 3", `data 3 "x"`, `data 3 "y"`, "half-close 3"}, 2},
		{"data after the end", []moby.Frame{syn(1), data(1, true, ""), data(1, true, "x"), data(1, false, "y")}, []string{"open 1", "half-close 1"}, 1},
		{"resets", []moby.Frame{syn(1), reset(1), reset(1), data(1, true, "x")}, []string{"open 1", "reset 1 code 5"}, 0},
		{"unknown streams", []moby.Frame{data(1, true, "x"), reset(3), data(2, false, "x")}, nil, 0},
		{"an end with the open", []moby.Frame{fin(syn(1), moby.ControlFlagFin), data(1, false, "x")}, []string{"open 1", "half-close 1"}, 1},
		{"headers, also on a stream that ended", []moby.Frame{
			syn(1), &moby.HeadersFrame{StreamId: 1}, reset(1), &moby.HeadersFrame{StreamId: 1}, syn(3),
		}, []string{"open 1", "headers 1", "reset 1 code 5", "headers 1", "open 3"}, 1},
		{"the end", []moby.Frame{goAway(4, 0)}, []string{"close 4"}, 0},
		{"an even id", []moby.Frame{syn(2)}, []string{endsBadly + "invalid stream ID 2 after 0: must be odd and increase"}, 0},
		{"an id reused", []moby.Frame{syn(1), reset(1), syn(1)}, []string{"open 1", "reset 1 code 5", endsBadly + "invalid stream ID 1 after 1: must be odd and increase"}, 0},
		{"an id that falls", []moby.Frame{syn(3), syn(1)}, []string{"open 3", endsBadly + "invalid stream ID 1 after 3: must be odd and increase"}, 1},
		{"a unidirectional stream", []moby.Frame{fin(syn(1), moby.ControlFlagUnidirectional)}, []string{endsBadly + "a unidirectional stream"}, 0},
		{"an answer", []moby.Frame{&moby.SynReplyFrame{StreamId: 1}}, []string{endsBadly + "a SYN_REPLY from the client"}, 0},
		{"33 headers", []moby.Frame{syn(1, numbered(33)...)}, []string{endsBadly + "too many headers: 33"}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table := new(spdy.Table)
			source := spdy.NewRelaySource(reader(mobyBytes(test.frames...)), new(replies), spdy.Client, table)
			want := test.want
			if len(want) == 0 || !strings.HasPrefix(want[len(want)-1], "error ") {
				want = append(slices.Clip(want), "error EOF")
			}
			equal(t, "frames", blockless(drain(t, source)), want)
			if table.Len() != test.open {
				t.Errorf("%d streams are open", table.Len())
			}
		})
	}
}

func numbered(n int) (headers []string) {
	for i := range n {
		headers = append(headers, fmt.Sprint("h", i), "v")
	}
	return headers
}

// blockless shortens the text of frames, for comparison: it removes the words "port" and "session",
// and the payload of header blocks.
func blockless(lines []string) (out []string) {
	for _, l := range lines {
		l = strings.Replace(strings.Replace(l, " port", "", 1), " session", "", 1)
		for _, kind := range []string{"open", "accept", "headers"} {
			if strings.HasPrefix(l, kind) {
				l, _, _ = strings.Cut(l, ` "`)
			}
		}
		out = append(out, l)
	}
	return out
}

// TestRelayServer checks the frames that RelaySource returns for the bytes of a port-forward
// server.
func TestRelayServer(t *testing.T) {
	reply := func(id moby.StreamId, flags moby.ControlFlags) moby.Frame {
		f := &moby.SynReplyFrame{StreamId: id}
		f.CFHeader.Flags = flags
		return f
	}
	in := mobyBytes(
		reply(1, 0), reply(3, moby.ControlFlagFin), data(3, false, "lost"), data(1, false, "x"), reset(5), data(5, false, "lost"),
		reply(5, moby.ControlFlagFin), data(1, true, ""), reset(9), syn(2),
	)
	table := opened(1, 3, 5)
	source := spdy.NewRelaySource(reader(in), new(replies), spdy.Server, table)
	equal(t, "frames", blockless(drain(t, source)), []string{
		"accept 1", "accept 3", "half-close 3", `data 1 "x"`, "reset 5 code 5", "accept 5", "half-close 1",
		"error streams: SPDY: a SYN_STREAM from the server",
	})
	if table.Len() != 2 {
		t.Errorf("%d streams are open", table.Len())
	}
}

// TestTable checks that a Table counts a stream as open until both sides have ended it, or one side
// has reset it.
func TestTable(t *testing.T) {
	table := opened(1, 3, 5, 7)
	read := func(p spdy.Peer, frames ...moby.Frame) {
		drain(t, spdy.NewRelaySource(reader(mobyBytes(frames...)), new(replies), p, table))
	}
	open := func(want int) {
		t.Helper()
		if table.Len() != want {
			t.Errorf("%d streams are open, not %d", table.Len(), want)
		}
	}
	read(spdy.Client, data(1, true, ""), data(1, true, ""))
	open(4)
	read(spdy.Server, data(1, true, ""))
	open(3)
	read(spdy.Server, data(3, true, "x"))
	open(3)
	read(spdy.Client, reset(3))
	open(2)
	read(spdy.Server, reset(5))
	open(1)
	read(spdy.Client, data(5, true, "late"), reset(5))
	open(1)
}

// TestTableShared checks that the two sources of a session can use its Table at the same time.
func TestTableShared(t *testing.T) {
	var table spdy.Table
	var client, server []moby.Frame
	for i := range 2000 {
		id := moby.StreamId(2*i + 1)
		client = append(client, syn(id), data(id, true, "x"))
		server = append(server, data(id, true, "y"))
	}
	var group sync.WaitGroup
	for p, b := range map[spdy.Peer][]byte{spdy.Client: mobyBytes(client...), spdy.Server: mobyBytes(server...)} {
		group.Go(func() {
			if last := copyFrames(spdy.NewRelaySink(new(wrote)), spdy.NewRelaySource(reader(b), new(replies), p, &table)); last != io.EOF {
				t.Errorf("%v", last)
			}
		})
	}
	group.Wait()
}

// TestRelaySink checks that RelaySink drops frames that have no meaning in port-forward.
func TestRelaySink(t *testing.T) {
	w := new(wrote)
	sink := spdy.NewRelaySink(w)
	port := streams.Stream{Role: streams.Port, ID: 9}
	for _, f := range []streams.Frame{
		roomy(streams.Data, role(streams.Stdin), "dropped"),
		roomy(streams.Status, role(streams.Error), "dropped"),
		roomy(streams.Resize, port, "dropped"),
		roomy(streams.Status, port, "dropped"),
		roomy(streams.Data, port, "x"),
		roomy(streams.HalfClose, port, ""),
		roomy(streams.Reset, port, ""),
		roomy(streams.Close, streams.Stream{ID: 9}, ""),
	} {
		if err := sink.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	sink.Flush()
	equal(t, "the peer reads", said(t, w.bytes), []string{`data 9 "x" fin 0`, `data 9 "" fin 1`, "reset 9 status 5", "goaway 9 status 0"})
}
