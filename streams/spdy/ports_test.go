package spdy_test

import (
	"fmt"
	"io"
	"slices"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// connection returns the data and the error stream of connection n.
func connection(n int) (data, errors streams.Stream) { return streams.PortStreams(n) }

// openPorts returns the bytes that OpenPorts writes on a new connection, and the Table of the
// opened streams.
func openPorts(t testing.TB, ports ...uint16) (*wrote, *spdy.Table) {
	t.Helper()
	w, table := new(wrote), new(spdy.Table)
	if err := spdy.OpenPorts(w, table, ports); err != nil {
		t.Fatal(err)
	}
	return w, table
}

// TestOpenPorts checks that from the bytes of OpenPorts moby/spdystream reads the streams that
// client-go would open.
func TestOpenPorts(t *testing.T) {
	w, table := openPorts(t, 80, 65535, 80)
	var got []string
	for _, f := range mobyFrames(t, w.bytes) {
		switch f := f.(type) {
		case *moby.SynStreamFrame:
			h := f.Headers
			got = append(got, fmt.Sprintf("open %d flags %d: %s of port %s, request %s, of %d headers",
				f.StreamId, f.CFHeader.Flags, h.Get("streamType"), h.Get("port"), h.Get("requestID"), len(h)))
		case *moby.DataFrame:
			got = append(got, fmt.Sprintf("data %d %q flags %d", f.StreamId, f.Data, f.Flags))
		}
	}
	equal(t, "opens", got, []string{
		"open 1 flags 0: error of port 80, request 0, of 3 headers", `data 1 "" flags 1`,
		"open 3 flags 0: data of port 80, request 0, of 3 headers",
		"open 5 flags 0: error of port 65535, request 1, of 3 headers", `data 5 "" flags 1`,
		"open 7 flags 0: data of port 65535, request 1, of 3 headers",
		"open 9 flags 0: error of port 80, request 2, of 3 headers", `data 9 "" flags 1`,
		"open 11 flags 0: data of port 80, request 2, of 3 headers",
	})
	if w.writes != 1 || table.Len() != 6 {
		t.Errorf("%d writes, %d streams", w.writes, table.Len())
	}
	if w, table = openPorts(t); w.writes != 0 || table.Len() != 0 {
		t.Errorf("no port: %d writes, %d streams", w.writes, table.Len())
	}
}

// sizedWrites is a Writer like wrote that also records the length of the longest write.
type sizedWrites struct {
	wrote
	most int
}

func (w *sizedWrites) WriteRoom(b []byte, off int) error {
	w.most = max(w.most, len(b)-off)
	return w.wrote.WriteRoom(b, off)
}

// TestOpenPortsBounds checks that OpenPorts opens up to MaxStreams streams in writes of limited
// length. If one port more is requested, it writes nothing.
func TestOpenPortsBounds(t *testing.T) {
	w, table := new(sizedWrites), new(spdy.Table)
	ports := slices.Repeat([]uint16{65535}, spdy.MaxStreams/2)
	if err := spdy.OpenPorts(w, table, ports); err != nil {
		t.Fatal(err)
	}
	if w.most > streams.MaxData || w.writes > len(w.bytes)/(streams.MaxData-512)+1 || table.Len() != spdy.MaxStreams {
		t.Errorf("%d writes of at most %d bytes, %d streams", w.writes, w.most, table.Len())
	}
	opens := 0
	source := spdy.NewRelaySource(reader(w.bytes), new(replies), spdy.Client, new(spdy.Table))
	for {
		f, err := source.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind == streams.Open {
			opens++
		}
	}
	if opens != spdy.MaxStreams {
		t.Errorf("%d streams were opened", opens)
	}

	w, table = new(sizedWrites), new(spdy.Table)
	err := spdy.OpenPorts(w, table, append(ports, 80))
	if code := protocolError(t, err); code != streams.CloseTooBig || w.writes != 0 {
		t.Errorf("%v, %d writes", err, w.writes)
	}
}

// TestOpenPortsFails checks that OpenPorts returns the error of the Writer.
func TestOpenPortsFails(t *testing.T) {
	for _, n := range []int{1, 1000} {
		w := &wrote{err: io.ErrClosedPipe}
		if err := spdy.OpenPorts(w, new(spdy.Table), make([]uint16, n)); err != io.ErrClosedPipe {
			t.Errorf("%d ports: %v", n, err)
		}
	}
}

// TestPortsSource checks that PortsSource resets a data stream that the server half-closes. For
// other streams it returns the same frames as RelaySource.
func TestPortsSource(t *testing.T) {
	in := mobyBytes(
		&moby.SynReplyFrame{StreamId: 3, Headers: header()},
		data(3, false, "x"), data(1, true, ""), data(3, true, "y"), // connection 0 (streams 1 and 3) ends
		data(3, false, "late"), reset(3),
		data(5, false, "refused"), reset(7), reset(5), // connection 1 (streams 5 and 7) fails
		&moby.GoAwayFrame{},
	)
	for i := range in {
		_, table := openPorts(t, 80, 81, 82)
		rep, cut := new(replies), pieces{in[:i], in[i:]}
		got := drain(t, spdy.NewPortsSource(streams.NewReader(&cut, nil), rep, table))
		equal(t, fmt.Sprintf("cut at %d", i), got[1:], []string{
			`data port 3 "x"`, "half-close port 1", `data port 3 "y"`, "half-close port 3",
			`data port 5 "refused"`, "reset port 7 code 5", "reset port 5 code 5", "close session", "error EOF",
		})
		if len(rep.said) != 1 || table.Len() != 2 {
			t.Fatalf("cut at %d: %x was answered, %d streams are open", i, rep.said, table.Len())
		}
		equal(t, "answer", said(t, rep.said[0]), []string{"reset 3 status 5"})
	}

	full := &replies{said: make([][]byte, maxReplies)}
	_, table := openPorts(t, 80)
	if err := last(spdy.NewPortsSource(reader(mobyBytes(data(3, true, ""))), full, table)); err != streams.ErrReplies {
		t.Errorf("a peer that reads nothing: %v", err)
	}
}

// TestPortsSink checks that PortsSink writes frames only on streams that the client may still use.
func TestPortsSink(t *testing.T) {
	w, table := openPorts(t, 80, 81)
	w.bytes = nil
	sink := spdy.NewPortsSink(w, table)
	data0, err0 := connection(0)
	data1, err1 := connection(1)
	elsewhere, _ := connection(2)
	for _, f := range []streams.Frame{
		roomy(streams.Data, data0, "a"), roomy(streams.Data, err0, "for nobody"), roomy(streams.Data, elsewhere, "b"),
		roomy(streams.HalfClose, data0, ""), roomy(streams.HalfClose, data0, ""), roomy(streams.HalfClose, err0, ""), roomy(streams.Data, data0, "late"),
		roomy(streams.Data, data1, "c"), roomy(streams.Reset, data1, ""), roomy(streams.Reset, data1, ""), roomy(streams.Data, data1, "late"),
		roomy(streams.Reset, err1, ""),
		roomy(streams.Open, data0, "x"), roomy(streams.Accept, data0, "x"), roomy(streams.Status, role(streams.Error), "x"),
		{Kind: streams.Close, Code: streams.CloseNormal},
	} {
		if err := sink.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	sink.Flush()
	equal(t, "said", said(t, w.bytes), []string{
		`data 3 "a" fin 0`, `data 3 "" fin 1`, `data 7 "c" fin 0`, "reset 7 status 5", "reset 5 status 5", "goaway 0 status 0",
	})
	if table.Len() != 2 {
		t.Errorf("%d streams are open", table.Len())
	}
}
