package ws_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"edge/streams"
	"edge/streams/ws"
)

// say returns a frame as a source returns it, with free bytes before its payload.
func say(kind streams.Kind, role streams.Role, payload string) streams.Frame {
	return streams.Frame{
		Kind:   kind,
		Stream: streams.Stream{Role: role},
		Buf:    append(make([]byte, streams.Headroom), payload...),
		Off:    streams.Headroom,
	}
}

func stdout(payload string) streams.Frame { return say(streams.Data, streams.Stdout, payload) }
func stdin(payload string) streams.Frame  { return say(streams.Data, streams.Stdin, payload) }
func stderr(payload string) streams.Frame { return say(streams.Data, streams.Stderr, payload) }

func closing(code uint32) streams.Frame { return streams.Frame{Kind: streams.Close, Code: code} }

var flush = streams.Frame{} // stands for a call of Flush in a list of frames

// written returns what a sink writes for the frames in the parameter in, one element per write.
func written(t *testing.T, in []streams.Frame, open func(streams.Writer) streams.Sink) []string {
	w := &writes{}
	s := open(w)
	for _, f := range in {
		f.Buf = bytes.Clone(f.Buf)
		var err error
		if f.Kind == flush.Kind {
			err = s.Flush()
		} else {
			err = s.Write(f)
		}
		if err != nil {
			t.Error(err)
		}
	}
	var got []string
	for _, b := range w.out {
		got = append(got, string(b))
	}
	return got
}

// TestExecDownstreamSink checks the messages that ExecDownstreamSink writes for frames.
func TestExecDownstreamSink(t *testing.T) {
	big := strings.Repeat("b", streams.Small)
	most := strings.Repeat("m", streams.MaxData)
	status := `{"status":"Success"}`
	long := strings.Repeat("s", streams.MaxStatus)
	for _, c := range []struct {
		name string
		in   []streams.Frame
		want []string
	}{
		{"nothing", []streams.Frame{flush}, nil},
		{"output waits for Flush", []streams.Frame{stdout("a")}, nil},
		{"output", []streams.Frame{stdout("a"), flush, flush}, []string{"\x82\x02\x01a"}},
		{"error output", []streams.Frame{stderr("a"), flush}, []string{"\x82\x02\x02a"}},
		{"empty output", []streams.Frame{stdout(""), flush}, nil},
		{"output of one channel is merged", []streams.Frame{stdout("a"), stdout(""), stderr(""), stdout("bc"), flush}, []string{"\x82\x04\x01abc"}},
		{
			"channels keep their order",
			[]streams.Frame{stdout("a"), stderr("b"), stderr("c"), stdout("d"), flush},
			[]string{"\x82\x02\x01a", "\x82\x03\x02bc", "\x82\x02\x01d"},
		},
		{
			"125, 126, 65535, 65536 bytes",
			[]streams.Frame{stdout(big[:124]), flush, stdout(big[:125]), flush, say(streams.Status, streams.Error, long[:65534]), say(streams.Status, streams.Error, long[:65535])},
			[]string{
				"\x82\x7d\x01" + big[:124], "\x82\x7e\x00\x7e\x01" + big[:125],
				"\x82\x7e\xff\xff\x03" + long[:65534], "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00\x03" + long[:65535],
			},
		},
		{"large output goes at once", []streams.Frame{stdout(big)}, []string{"\x82\x7e\x10\x01\x01" + big}},
		{
			"large output follows small",
			[]streams.Frame{stdout("a"), stdout(big), stdout("c"), stderr(big), flush},
			[]string{"\x82\x02\x01a", "\x82\x7e\x10\x01\x01" + big, "\x82\x02\x01c", "\x82\x7e\x10\x01\x02" + big},
		},
		{"more than the most", []streams.Frame{stdout(most + "more")}, []string{"\x82\x7e\x80\x01\x01" + most, "\x82\x05\x01more"}},
		{"the most output at once", []streams.Frame{stdout(most)}, []string{"\x82\x7e\x80\x01\x01" + most}},
		{
			"status follows output",
			[]streams.Frame{stdout("a"), say(streams.Status, streams.Error, status), closing(1000)},
			[]string{"\x82\x02\x01a", "\x82\x15\x03" + status, "\x88\x02\x03\xe8"},
		},
		{"the longest status is whole", []streams.Frame{say(streams.Status, streams.Error, long)}, []string{"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x01\x03" + long}},
		{
			"status without room",
			[]streams.Frame{{Kind: streams.Status, Buf: []byte(status)}, {Kind: streams.Status, Buf: []byte("x" + status), Off: 1}},
			[]string{"\x82\x15\x03" + status, "\x82\x15\x03" + status},
		},
		{"status that says nothing", []streams.Frame{stdout("a"), say(streams.Status, streams.Error, "")}, []string{"\x82\x02\x01a"}},
		{"plain status", []streams.Frame{say(streams.Status, streams.Error, "exit 7")}, []string{"\x82\x07\x03exit 7"}},
		{"close follows output", []streams.Frame{stderr("a"), closing(1001)}, []string{"\x82\x02\x02a", "\x88\x02\x03\xe9"}},
		{"close without a code", []streams.Frame{closing(0)}, []string{"\x88\x00"}},
		{
			"nothing follows a close",
			[]streams.Frame{closing(1000), stdout("a"), stdout(big), say(streams.Status, streams.Error, status), closing(1000), flush},
			[]string{"\x88\x02\x03\xe8"},
		},
		{
			"what cannot be said",
			[]streams.Frame{
				say(streams.HalfClose, streams.Stdout, ""), say(streams.Reset, streams.Stderr, ""), say(streams.Open, streams.Port, "a"),
				say(streams.Accept, streams.Port, "a"), say(streams.Headers, streams.Port, "a"), say(streams.Resize, streams.Terminal, "a"),
				say(streams.Data, streams.Stdin, "a"), say(streams.Data, streams.Error, "a"), say(streams.Data, streams.Port, big), flush,
			},
			nil,
		},
		{
			"a half-close sends what waits",
			[]streams.Frame{stdout("a"), say(streams.HalfClose, streams.Stdout, "")},
			[]string{"\x82\x02\x01a"},
		},
	} {
		for _, d := range []ws.Dialect{ws.V1Channel, ws.V4Channel, ws.V5Channel} {
			got := written(t, c.in, func(w streams.Writer) streams.Sink { return ws.NewExecDownstreamSink(w, d) })
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
				t.Errorf("%s: wrote %.500q, want %.500q", c.name, got, c.want)
			}
		}
	}
	t.Run("full batch", func(t *testing.T) {
		w := &writes{}
		s := ws.NewExecDownstreamSink(w, ws.V5Channel)
		for i := range most {
			if err := s.Write(stdout(most[i : i+1])); err != nil {
				t.Fatal(err)
			}
		}
		s.Write(stdout("no"))
		s.Write(stdout("w"))
		s.Flush()
		if len(w.out) != 2 || string(w.out[0]) != "\x82\x7e\x80\x01\x01"+most || string(w.out[1]) != "\x82\x04\x01now" {
			t.Errorf("wrote %.50q", w.out)
		}
	})
}

// TestStart checks that the start signal is a message with only the channel byte.
func TestStart(t *testing.T) {
	for role, want := range map[streams.Role]string{streams.Stdout: "\x82\x01\x01", streams.Stderr: "\x82\x01\x02", streams.Error: "\x82\x01\x03"} {
		w := &writes{}
		if err := ws.NewExecDownstreamSink(w, ws.V4Channel).Start(role); err != nil || len(w.out) != 1 || string(w.out[0]) != want {
			t.Errorf("role %d: %q, %v", role, w.out, err)
		}
		want = string([]byte{0x81, 1, '0' + want[2]})
		w = &writes{}
		if err := ws.NewExecDownstreamSink(w, ws.V4Base64Channel).Start(role); err != nil || len(w.out) != 1 || string(w.out[0]) != want {
			t.Errorf("role %d in base64: %q, %v", role, w.out, err)
		}
	}
}

// TestSinksCopyNothing checks that sinks write a payload of at least Small bytes from the frame's
// own buffer, without a copy.
func TestSinksCopyNothing(t *testing.T) {
	f := stdout(strings.Repeat("b", streams.Small))
	w := &where{}
	s := ws.NewExecDownstreamSink(w, ws.V5Channel)
	if err := s.Write(f); err != nil || w.at != &f.Buf[0] {
		t.Errorf("Data was copied: %v", err)
	}
	f = say(streams.Status, streams.Error, "{}")
	if err := s.Write(f); err != nil || w.at != &f.Buf[0] {
		t.Errorf("Status was copied: %v", err)
	}
	f = stdout("small")
	if err := ws.NewTunnel(nil, nil, w).WriteRoom(f.Buf, f.Off); err != nil || w.at != &f.Buf[0] {
		t.Errorf("tunnelled bytes were copied: %v", err)
	}
	if err := ws.NewClientTunnel(nil, nil, w).WriteRoom(f.Buf, f.Off); err != nil || w.at != &f.Buf[0] {
		t.Errorf("tunnelled bytes were copied by a client: %v", err)
	}
	f = stdin(strings.Repeat("b", streams.Small))
	if err := ws.NewExecUpstreamSink(w, ws.V5Channel).Write(f); err != nil || w.at != &f.Buf[0] {
		t.Errorf("stdin was copied: %v", err)
	}
}

type where struct{ at *byte }

func (w *where) WriteRoom(b []byte, off int) error {
	w.at = &b[0]
	return nil
}

// TestExecDownstreamSinkError checks that Write and Flush each return the error of the write that they
// cause.
func TestExecDownstreamSinkError(t *testing.T) {
	broken := errors.New("broken")
	for name, call := range map[string]func(*ws.ExecDownstreamSink) error{
		"start": func(s *ws.ExecDownstreamSink) error { return s.Start(streams.Stdout) },
		"large": func(s *ws.ExecDownstreamSink) error { return s.Write(stdout(strings.Repeat("b", streams.Small))) },
		"flush": func(s *ws.ExecDownstreamSink) error { s.Write(stdout("a")); return s.Flush() },
		"other": func(s *ws.ExecDownstreamSink) error { s.Write(stdout("a")); return s.Write(stderr("b")) },
		"status": func(s *ws.ExecDownstreamSink) error {
			s.Write(stdout("a"))
			return s.Write(say(streams.Status, streams.Error, "{}"))
		},
		"close": func(s *ws.ExecDownstreamSink) error { return s.Write(closing(1000)) },
	} {
		if err := call(ws.NewExecDownstreamSink(&writes{err: broken}, ws.V5Channel)); err != broken {
			t.Errorf("%s: %v", name, err)
		}
	}
}
