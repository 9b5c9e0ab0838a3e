package spdy_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// TestClientSink checks the bytes that ExecUpstreamSink writes, and that it drops all other frames.
func TestClientSink(t *testing.T) {
	w := new(wrote)
	sink := spdy.NewExecUpstreamSink(w, streams.Set{Stdin: true, Stdout: true, Terminal: true})
	none := streams.Stream{}
	code := func(f streams.Frame, code uint32) streams.Frame { f.Code = code; return f }
	for _, f := range []streams.Frame{
		roomy(streams.Data, role(streams.Stdin), "in"),
		roomy(streams.Data, role(streams.Stdin), ""),
		roomy(streams.Data, role(streams.Stdout), "dropped"),
		roomy(streams.Data, role(streams.Error), "dropped"),
		roomy(streams.Data, streams.Stream{Role: streams.Port, ID: 3}, "dropped"),
		roomy(streams.Resize, role(streams.Terminal), `{"Width":1,"Height":2}`),
		roomy(streams.Resize, role(streams.Stdin), "dropped"),
		roomy(streams.Data, role(streams.Terminal), "dropped"),
		roomy(streams.Status, role(streams.Error), "dropped"),
		roomy(streams.Open, role(streams.Stdin), ""),
		roomy(streams.Close, none, ""),
		roomy(streams.HalfClose, role(streams.Stderr), ""), // dropped: stderr is not in the set
		roomy(streams.HalfClose, role(streams.Stdin), ""),
		roomy(streams.HalfClose, role(streams.Stdin), ""),
		roomy(streams.Data, role(streams.Stdin), "dropped"),
		code(roomy(streams.Reset, role(streams.Stdout), ""), 2),
		roomy(streams.Reset, role(streams.Stdout), ""),
		roomy(streams.HalfClose, role(streams.Terminal), ""),
		roomy(streams.Resize, role(streams.Terminal), "dropped"),
		roomy(streams.Reset, role(streams.Error), ""),
	} {
		if err := sink.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if w.writes != 0 {
		t.Errorf("%d writes before Flush", w.writes)
	}
	if err := errors.Join(sink.Flush(), sink.Flush()); err != nil || w.writes != 1 {
		t.Errorf("%d writes, %v", w.writes, err)
	}
	equal(t, "the server reads", said(t, w.bytes), []string{
		`data 3 "in" fin 0`, `data 7 "{\"Width\":1,\"Height\":2}" fin 0`, `data 3 "" fin 1`,
		"reset 5 status 2", `data 7 "" fin 1`, "reset 1 status 5",
	})
}

// TestLargeData checks that a sink writes a large payload at once, in pieces of at most MaxData,
// after the small frames that it has collected. The bytes of the payload must arrive unchanged.
func TestLargeData(t *testing.T) {
	w := new(wrote)
	sink := spdy.NewExecUpstreamSink(w, all)
	large := strings.Repeat("0123456789", 3*streams.MaxData/10)
	for _, payload := range []string{"a", large, "b", large[:streams.Small], large[:streams.Small-1]} {
		if err := sink.Write(roomy(streams.Data, role(streams.Stdin), payload)); err != nil {
			t.Fatal(err)
		}
	}
	if w.writes != 1+3+1+1 {
		t.Errorf("%d writes", w.writes)
	}
	sink.Flush()
	var got strings.Builder
	for _, f := range mobyFrames(t, w.bytes) {
		d := f.(*moby.DataFrame)
		if d.StreamId != 3 || d.Flags != 0 || len(d.Data) > streams.MaxData {
			t.Fatalf("a frame of %d bytes on %d", len(d.Data), d.StreamId)
		}
		got.Write(d.Data)
	}
	if got.String() != "a"+large+"b"+large[:streams.Small]+large[:streams.Small-1] {
		t.Error("the bytes are not the same")
	}
}

// TestBatch checks that small frames that fill more than one buffer arrive complete and in order.
func TestBatch(t *testing.T) {
	w := new(wrote)
	sink := spdy.NewExecUpstreamSink(w, all)
	var want []string
	for i := range 2000 {
		payload := strings.Repeat("x", i%100+1)
		want = append(want, fmt.Sprintf("data 3 %q fin 0", payload))
		if err := sink.Write(roomy(streams.Data, role(streams.Stdin), payload)); err != nil {
			t.Fatal(err)
		}
	}
	sink.Flush()
	equal(t, "the server reads", said(t, w.bytes), want)
	if w.writes > 5 {
		t.Errorf("%d writes", w.writes)
	}
}

// TestWriteError checks that a sink returns its writer's error.
func TestWriteError(t *testing.T) {
	w := &wrote{err: os.ErrDeadlineExceeded}
	sink := spdy.NewExecUpstreamSink(w, all)
	if err := sink.Open(); err != w.err {
		t.Errorf("Open: %v", err)
	}
	if err := sink.Write(roomy(streams.Data, role(streams.Stdin), strings.Repeat("x", streams.Small))); err != w.err {
		t.Errorf("Write: %v", err)
	}
	sink.Write(roomy(streams.HalfClose, role(streams.Stdin), ""))
	if err := sink.Flush(); err != w.err {
		t.Errorf("Flush: %v", err)
	}
}
