package spdy_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// serve reads the client's bytes p with a PortServerSource, and returns the frames as text, each
// Open with its PortOpening.
func serve(rep streams.Replier, table *spdy.Table, p ...[]byte) (lines []string) {
	in := pieces(p)
	source := spdy.NewPortServerSource(streams.NewReader(&in, nil), rep, table)
	for {
		f, err := source.Next()
		if err != nil {
			return append(lines, "error "+err.Error())
		}
		line := show(f)
		if f.Kind == streams.Open {
			line += fmt.Sprintf(" %+v", source.Opened())
		}
		lines = append(lines, line)
	}
}

// portServerClient are the frames that the client sends in TestPortServerSource; portServerFrames
// are the frames that the source returns for them.
var (
	portServerClient = []moby.Frame{
		syn(1, "streamtype", "error", "port", "80", "requestid", "7"), data(1, true, ""),
		syn(3, "streamtype", "data", "port", "80", "requestid", "7"), data(3, false, "x"),
		syn(5, "streamtype", "data", "port", "81"), // older clients send no request ID
		&moby.HeadersFrame{StreamId: 5, Headers: header("a", "b")},
		syn(7, "streamtype", "data"), data(7, true, "lost"), syn(9, "port", "80"), syn(11, "streamtype", "stdin", "port", "80"),
		syn(13, "streamtype", "data", "port", "0"), syn(15, "streamtype", "data", "port", "65536"), syn(17, "streamtype", "data", "port", "-1"),
		data(3, true, "y"), reset(5), data(5, false, "late"), goAway(0, 0),
	}
	portServerFrames = []string{
		"open port 1 {Error:true Port:80 Request:7}", "half-close port 1",
		"open port 3 {Error:false Port:80 Request:7}", `data port 3 "x"`,
		"open port 5 {Error:false Port:81 Request:}",
		`data port 3 "y"`, "half-close port 3", "reset port 5 code 5", "close session", "error EOF",
	}
)

// TestPortServerSource checks that PortServerSource accepts a stream at once, with its port and
// kind, and refuses the streams that a container runtime refuses. The result must be the same
// wherever the bytes are cut.
func TestPortServerSource(t *testing.T) {
	in := mobyBytes(portServerClient...)
	for i := range in {
		rep, table := new(replies), new(spdy.Table)
		equal(t, fmt.Sprintf("cut at %d", i), serve(rep, table, in[:i], in[i:]), portServerFrames)
		equal(t, "answers", said(t, slices.Concat(rep.said...)), []string{
			"reply 1", "reply 3", "reply 5",
			"reset 7 status 5", "reset 9 status 5", "reset 11 status 5", "reset 13 status 5", "reset 15 status 5", "reset 17 status 5",
		})
		for _, answer := range rep.said {
			if len(answer) > spdy.MaxPortReply/2 {
				t.Fatalf("an answer of %d bytes", len(answer))
			}
		}
		if table.Len() != 2 {
			t.Fatalf("%d streams are open", table.Len())
		}
	}
}

// TestPortServerCapture checks with which headers client-go opened the streams in the captured
// sessions.
func TestPortServerCapture(t *testing.T) {
	b := must(os.ReadFile("testdata/ports.client"))
	for i := range b {
		got := serve(new(replies), new(spdy.Table), b[:i], b[i:])
		opens := slices.DeleteFunc(got, func(l string) bool { return l[:4] != "open" })
		equal(t, fmt.Sprintf("cut at %d", i), opens, []string{
			"open port 1 {Error:true Port:80 Request:0}", "open port 3 {Error:false Port:80 Request:0}",
			"open port 5 {Error:true Port:80 Request:1}", "open port 7 {Error:false Port:80 Request:1}",
		})
	}
}

// TestPortServerBreach checks which frames of a client end a port-forward session with a protocol
// error.
func TestPortServerBreach(t *testing.T) {
	for name, frames := range map[string][]moby.Frame{
		"an id reused": {syn(1, "port", "80"), syn(1, "port", "80")},
		"an answer":    {&moby.SynReplyFrame{StreamId: 1}},
	} {
		source := spdy.NewPortServerSource(reader(mobyBytes(frames...)), new(replies), new(spdy.Table))
		if err := last(source); protocolError(t, err) != streams.CloseProtocol {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPortServerReplies checks that the session ends if the client reads no answers.
func TestPortServerReplies(t *testing.T) {
	full := &replies{said: make([][]byte, maxReplies)}
	for _, open := range []*moby.SynStreamFrame{syn(1, "streamtype", "data", "port", "80"), syn(1)} {
		if err := last(spdy.NewPortServerSource(reader(mobyBytes(open)), full, new(spdy.Table))); err != streams.ErrReplies {
			t.Errorf("%v", err)
		}
	}
}

// TestPortServerSink checks that the sink writes only on streams that the server may still use, and
// that after a reset neither source nor sink uses the stream.
func TestPortServerSink(t *testing.T) {
	rep, table, w := new(replies), new(spdy.Table), new(wrote)
	source := spdy.NewPortServerSource(reader(mobyBytes(portServerClient[:5]...)), rep, table)
	last(source)
	rep.said = nil
	sink := spdy.NewPortServerSink(w, table)
	at := func(id uint32) streams.Stream { return streams.Stream{Role: streams.Port, ID: id} }
	for _, f := range []streams.Frame{
		roomy(streams.Data, at(3), "a"), roomy(streams.HalfClose, at(3), ""), roomy(streams.Data, at(3), "late"),
		roomy(streams.HalfClose, at(1), ""), roomy(streams.HalfClose, at(1), ""), roomy(streams.Data, at(9), "nobody's"),
		roomy(streams.Reset, at(5), ""), roomy(streams.Data, at(5), "late"), {Kind: streams.Close},
	} {
		if err := sink.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []uint32{3, 3, 5, 1} { // stream 1 had already ended, stream 3 is reset twice
		if err := source.Reset(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Write(roomy(streams.Data, at(3), "later")); err != nil {
		t.Fatal(err)
	}
	sink.Flush()
	equal(t, "said", said(t, w.bytes), []string{`data 3 "a" fin 0`, `data 3 "" fin 1`, `data 1 "" fin 1`, "reset 5 status 5", "goaway 0 status 0"})
	equal(t, "answered", said(t, slices.Concat(rep.said...)), []string{"reset 3 status 5"})
	if table.Len() != 0 {
		t.Errorf("%d streams are open", table.Len())
	}
}

// TestPortsSinkOpen checks that PortsSink.Open writes the same bytes as OpenPorts.
func TestPortsSinkOpen(t *testing.T) {
	together, _ := openPorts(t, 80, 65535, 81)
	w, table := new(wrote), new(spdy.Table)
	sink := spdy.NewPortsSink(w, table)
	for n, port := range []uint16{80, 65535, 81} {
		if err := sink.Open(n, port); err != nil {
			t.Fatal(err)
		}
		sink.Flush()
	}
	if string(w.bytes) != string(together.bytes) || table.Len() != 6 || w.writes != 3 {
		t.Errorf("%x in %d writes, %d streams", w.bytes, w.writes, table.Len())
	}
	if err := sink.Open(1, 80); protocolError(t, err) != streams.CloseProtocol {
		t.Error(err)
	}
}
