package spdy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// opens returns the SYN_STREAMs for all streams of an exec without a terminal, as client-go opens
// them.
func opens() []moby.Frame {
	return []moby.Frame{
		syn(1, "streamType", "error"), syn(3, "streamType", "stdin"),
		syn(5, "streamType", "stdout"), syn(7, "streamType", "stderr"),
	}
}

var opensRead = []string{"open error", "open stdin", "open stdout", "open stderr"}

// TestServerSource checks the frames and answers of ExecDownstreamSource for the bytes of an exec's
// client.
func TestServerSource(t *testing.T) {
	unidirectional := syn(1, "streamType", "error")
	unidirectional.CFHeader.Flags = moby.ControlFlagUnidirectional
	finished := syn(3, "streamType", "stdin")
	finished.CFHeader.Flags = moby.ControlFlagFin
	headers := &moby.HeadersFrame{StreamId: 3, Headers: header("a", "b")}
	headersFin := &moby.HeadersFrame{StreamId: 3, Headers: header("a", "b")}
	headersFin.CFHeader.Flags = moby.ControlFlagFin
	const endsBadly = "error streams: SPDY: "

	tests := []struct {
		name    string
		frames  []moby.Frame
		want    []string
		answers []string // expected answers of the source; nil: not checked
	}{
		{"the set", opens(), opensRead, []string{"reply 1", "reply 3", "reply 5", "reply 7"}},
		{"another order and other ids", []moby.Frame{
			syn(5, "streamType", "stderr"), syn(9, "other", "x", "streamType", "error"), data(9, true, ""), data(5, false, "x"),
			syn(101, "streamType", "stdin"), data(101, true, "in"), syn(0x7fffffff, "streamType", "stdout"),
		}, []string{"open stderr", "open error", "half-close error", "open stdin", `data stdin "in"`, "half-close stdin", "open stdout"},
			[]string{"reply 5", "reply 9", "reply 101", "reply 2147483647"}},
		{"data, end, resets", append(opens(), data(3, false, "a"), data(3, true, "b"), data(3, true, "c"), reset(3), reset(3), reset(1), goAway(0, 0)),
			append(opensRead, `data stdin "a"`, `data stdin "b"`, "half-close stdin", "reset stdin code 5", "reset error code 5", "close session"), nil},
		{"data before its stream", append([]moby.Frame{data(3, true, "lost")}, opens()...), opensRead, nil},
		{"an end with the open", []moby.Frame{finished, data(3, false, "lost")}, []string{"open stdin", "half-close stdin"}, nil},
		{"headers, before and after the set is whole", append(append([]moby.Frame{headers}, opens()...), headers, headersFin, data(3, false, "lost")),
			append(opensRead, "half-close stdin"), nil},
		{"streams outside the set", []moby.Frame{
			syn(1, "streamType", "resize"), syn(3, "streamType", "data"), syn(5), syn(7, "streamType", "error"), syn(9, "streamType", "error"),
			data(9, false, "x"), reset(9),
		}, []string{"open error"}, []string{"reset 1 status 3", "reset 3 status 3", "reset 5 status 3", "reply 7", "reset 9 status 3"}},
		{"more than the set", append(opens(), syn(9, "streamType", "stdin"), data(9, false, "x"), data(3, false, "y")),
			append(opensRead, `data stdin "y"`), []string{"reply 1", "reply 3", "reply 5", "reply 7", "reset 9 status 3"}},

		{"an even id", []moby.Frame{syn(2, "streamType", "error")}, []string{endsBadly + "invalid stream ID 2 after 0: must be odd and increase"}, nil},
		{"an id reused", append(opens(), syn(7, "streamType", "error")), append(opensRead, endsBadly+"invalid stream ID 7 after 7: must be odd and increase"), nil},
		{"an id that falls", append(opens()[3:], opens()[0]), []string{"open stderr", endsBadly + "invalid stream ID 1 after 7: must be odd and increase"}, nil},
		{"an id that falls behind a refused one", []moby.Frame{syn(9, "a", "b"), opens()[0]}, []string{endsBadly + "invalid stream ID 1 after 9: must be odd and increase"}, nil},
		{"a unidirectional stream", []moby.Frame{unidirectional}, []string{endsBadly + "a unidirectional stream"}, nil},
		{"an answer", []moby.Frame{&moby.SynReplyFrame{StreamId: 1}}, []string{endsBadly + "a SYN_REPLY from the client"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rep := new(replies)
			want := test.want
			if !strings.HasPrefix(want[len(want)-1], "error ") {
				want = append(slices.Clip(want), "error EOF")
			}
			equal(t, "frames", drain(t, spdy.NewExecDownstreamSource(reader(mobyBytes(test.frames...)), rep, all)), want)
			if test.answers != nil {
				equal(t, "answers", said(t, join(rep.said...)), test.answers)
			}
		})
	}
}

// TestWhole checks that the method Whole returns true from the moment the last stream of the set is
// open.
func TestWhole(t *testing.T) {
	frames := append(opens(), reset(1), goAway(0, 0))
	source := spdy.NewExecDownstreamSource(reader(mobyBytes(frames...)), new(replies), all)
	for i := range frames {
		if source.Whole() != (i >= 4) {
			t.Errorf("whole after %d frames: %v", i, source.Whole())
		}
		must(source.Next())
	}
}

// TestResizes checks that the source returns each terminal size as one frame, wherever the data
// frames of the resize stream end.
func TestResizes(t *testing.T) {
	set := streams.Set{Terminal: true}
	open := []moby.Frame{syn(1, "streamType", "error"), syn(3, "streamType", "resize")}
	const a, b = `{"Width":80,"Height":24}`, `{"Width":132,"Height":50}`
	both := []string{fmt.Sprintf("resize terminal %q", a), fmt.Sprintf("resize terminal %q", b)}
	tests := []struct {
		name string
		data []string
		want []string
	}{
		{"as client-go sends them", []string{a + "\n", b + "\n"}, both},
		{"together", []string{a + b}, both},
		{"with space between", []string{" \t\r\n" + a + "\n\n \n" + b}, both},
		{"byte by byte", strings.Split(a+"\n"+b, ""), both},
		{"not whole", []string{a, `{"Width":`}, both[:1]},
		{"the longest", []string{"{" + strings.Repeat("1", streams.MaxResize-2) + "}"},
			[]string{fmt.Sprintf(`resize terminal "{111111111111111"... %d bytes`, streams.MaxResize)}},
		{"too long", []string{"{" + strings.Repeat("1", streams.MaxResize-1), "}"}, []string{"error streams: SPDY: a terminal size of more than 256 bytes"}},
		{"no object", []string{a, `80`}, []string{both[0], "error streams: SPDY: a terminal size that is not a flat JSON object"}},
		{"nested", []string{`{"Width":{`}, []string{"error streams: SPDY: a terminal size that is not a flat JSON object"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			frames := open
			for _, d := range test.data {
				frames = append(slices.Clip(frames), data(3, false, d))
			}
			want := append([]string{"open error", "open terminal"}, test.want...)
			if !strings.HasPrefix(want[len(want)-1], "error ") {
				want = append(want, "half-close terminal", "error EOF")
			}
			frames = append(frames, data(3, true, ""))
			equal(t, "frames", drain(t, spdy.NewExecDownstreamSource(reader(mobyBytes(frames...)), new(replies), set)), want)
		})
	}
}

// TestServerSink checks the bytes that ExecDownstreamSink writes, and that it drops all other frames.
func TestServerSink(t *testing.T) {
	source := spdy.NewExecDownstreamSource(reader(mobyBytes(
		syn(5, "streamType", "stderr"), syn(9, "streamType", "error"), syn(11, "streamType", "stdin"), syn(13, "streamType", "stdout"),
	)), new(replies), all)
	w := new(wrote)
	sink := spdy.NewExecDownstreamSink(w, source)
	write := func(f streams.Frame) {
		t.Helper()
		if err := sink.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	write(roomy(streams.Data, role(streams.Stdout), "dropped: not open yet"))
	for !source.Whole() {
		must(source.Next())
	}
	closing := roomy(streams.Close, streams.Stream{}, "")
	for _, f := range []streams.Frame{
		roomy(streams.Data, role(streams.Stdout), "out"),
		roomy(streams.Data, role(streams.Stdin), "dropped"),
		roomy(streams.Data, role(streams.Error), "dropped"),
		roomy(streams.Resize, role(streams.Terminal), "dropped"),
		roomy(streams.HalfClose, role(streams.Stdout), ""),
		roomy(streams.HalfClose, role(streams.Stdout), ""),
		roomy(streams.Data, role(streams.Stdout), "dropped"),
		roomy(streams.HalfClose, role(streams.Error), ""), // dropped: to client-go it would mean success
		roomy(streams.HalfClose, role(streams.Stdin), ""),
		roomy(streams.Data, role(streams.Stderr), "err"),
		roomy(streams.Reset, role(streams.Stderr), ""),
		roomy(streams.Status, role(streams.Stdout), "dropped"),
		roomy(streams.Status, role(streams.Error), "{}"),
		roomy(streams.Status, role(streams.Error), "dropped"),
		roomy(streams.Reset, role(streams.Error), ""),
		closing,
	} {
		write(f)
	}
	sink.Flush()
	equal(t, "the client reads", said(t, w.bytes), []string{
		`data 13 "out" fin 0`, `data 13 "" fin 1`, `data 11 "" fin 1`, `data 5 "err" fin 0`, "reset 5 status 5",
		`data 9 "{}" fin 0`, `data 9 "" fin 1`, "goaway 13 status 0",
	})

	w.bytes = nil
	for _, code := range []uint32{0, 1, 2, streams.CloseNormal, streams.CloseGoingAway, streams.CloseProtocol, streams.CloseTooBig, streams.CloseInternal} {
		closing.Code = code
		write(closing)
	}
	sink.Flush()
	equal(t, "the client reads", said(t, w.bytes), []string{
		"goaway 13 status 0", "goaway 13 status 1", "goaway 13 status 2",
		"goaway 13 status 0", "goaway 13 status 0", "goaway 13 status 1", "goaway 13 status 2", "goaway 13 status 2",
	})
}

// TestServerStatus checks that a Status of any size arrives complete, and an empty one as a FIN
// without data.
func TestServerStatus(t *testing.T) {
	for _, n := range []int{0, 1, streams.Small, streams.MaxStatus} {
		source := spdy.NewExecDownstreamSource(reader(mobyBytes(opens()...)), new(replies), all)
		for !source.Whole() {
			must(source.Next())
		}
		w := new(wrote)
		sink := spdy.NewExecDownstreamSink(w, source)
		want := strings.Repeat("s", n)
		sink.Write(roomy(streams.Status, role(streams.Error), want))
		sink.Flush()
		f := must(spdy.NewExecUpstreamSource(reader(w.bytes), new(replies), all).Next())
		if f.Kind != streams.Status || string(f.Payload()) != want {
			t.Errorf("%d bytes arrive as %s", n, show(f))
		}
	}
}
