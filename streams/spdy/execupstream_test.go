package spdy_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// all is the set of an exec without a terminal. Its stream IDs are error 1, stdin 3, stdout 5 and
// stderr 7.
var all = streams.Set{Stdin: true, Stdout: true, Stderr: true}

func goAway(last moby.StreamId, status moby.GoAwayStatus) *moby.GoAwayFrame {
	return &moby.GoAwayFrame{LastGoodStreamId: last, Status: status}
}

func join(b ...[]byte) []byte { return bytes.Join(b, nil) }

func unhex(s string) []byte { return must(hex.DecodeString(strings.ReplaceAll(s, " ", ""))) }

// TestClientSource checks the frames that ExecUpstreamSource returns for the bytes of an exec's
// server.
func TestClientSource(t *testing.T) {
	fin := func(f moby.Frame) moby.Frame {
		switch f := f.(type) {
		case *moby.SynReplyFrame:
			f.CFHeader.Flags = moby.ControlFlagFin
		case *moby.HeadersFrame:
			f.CFHeader.Flags = moby.ControlFlagFin
		}
		return f
	}
	status := strings.Repeat("s", streams.MaxStatus)
	big := strings.Repeat("b", 2*streams.MaxData+1)
	tests := []struct {
		name string
		in   []byte
		want []string
	}{
		{"nothing", nil, []string{"error EOF"}},
		{"data and ends", mobyBytes(data(5, false, "out"), data(7, true, "err"), data(5, true, ""), data(1, true, "{}")),
			[]string{`data stdout "out"`, `data stderr "err"`, "half-close stderr", "half-close stdout", `status error "{}"`, "error EOF"}},
		{"data is cut", mobyBytes(data(5, true, big)), []string{
			fmt.Sprintf(`data stdout "%s"... %d bytes`, big[:16], streams.MaxData),
			fmt.Sprintf(`data stdout "%s"... %d bytes`, big[:16], streams.MaxData),
			`data stdout "b"`, "half-close stdout", "error EOF"}},
		{"empty data", mobyBytes(data(5, false, ""), data(5, false, "x")), []string{`data stdout "x"`, "error EOF"}},
		{"data after the end", mobyBytes(data(5, true, "a"), data(5, true, "b"), data(7, false, "c")),
			[]string{`data stdout "a"`, "half-close stdout", `data stderr "c"`, "error EOF"}},
		{"data after a reset", mobyBytes(reset(5), data(5, true, "b"), reset(5)),
			[]string{"reset stdout code 5", "error EOF"}},
		{"a reset after the end", mobyBytes(data(5, true, ""), reset(5)),
			[]string{"half-close stdout", "reset stdout code 5", "error EOF"}},
		{"unknown streams", mobyBytes(data(9, true, "x"), data(2, true, "x"), data(1<<31-1, true, big), reset(9)), []string{"error EOF"}},
		{"stdin's data has no sense, its end does", mobyBytes(data(3, true, "x")), []string{"half-close stdin", "error EOF"}},
		{"stdin is reset", mobyBytes(reset(3)), []string{"reset stdin code 5", "error EOF"}},

		{"a status in pieces", mobyBytes(data(1, false, "{"), data(5, false, "x"), data(1, true, "}")),
			[]string{`data stdout "x"`, `status error "{}"`, "error EOF"}},
		{"an empty status", mobyBytes(data(1, true, "")), []string{"status error", "error EOF"}},
		{"a status that ends by reset", mobyBytes(data(1, false, "{}"), reset(1), reset(1)), []string{`status error "{}"`, "error EOF"}},
		{"an error stream that is reset empty", mobyBytes(data(1, false, ""), reset(1)), []string{"reset error code 5", "error EOF"}},
		{"a status that ends with the connection", mobyBytes(data(1, false, "{}"), data(5, false, "x")),
			[]string{`data stdout "x"`, `status error "{}"`, "error EOF"}},
		{"a status that ends with GOAWAY", mobyBytes(data(1, false, "{}"), goAway(7, 0), data(1, true, "x"), data(5, true, "")),
			[]string{`status error "{}"`, "close session 7", "half-close stdout", "error EOF"}},
		{"a status before a torn connection", mobyBytes(data(1, false, "{}"), data(5, false, "x"))[:17],
			[]string{`status error "{}"`, "error unexpected EOF"}},
		{"a torn status", mobyBytes(data(1, false, "{}"))[:9], []string{"error unexpected EOF"}},
		{"data after the status", mobyBytes(data(1, true, "{}"), data(1, true, "{}"), reset(1)), []string{`status error "{}"`, "error EOF"}},
		{"the longest status", mobyBytes(data(1, true, status)),
			[]string{fmt.Sprintf(`status error "ssssssssssssssss"... %d bytes`, streams.MaxStatus), "error EOF"}},
		{"a status too long", mobyBytes(data(1, false, status), data(1, true, "s")),
			[]string{fmt.Sprintf("error streams: SPDY: a status of more than %d bytes", streams.MaxStatus)}},
		{"a status before a breach", join(mobyBytes(data(1, false, "{}")), unhex("8002000600000004 00000002")),
			[]string{"error streams: SPDY: a control frame of version 2"}},

		{"an end in SYN_REPLY", mobyBytes(fin(&moby.SynReplyFrame{StreamId: 5}), data(5, true, "x")), []string{"half-close stdout", "error EOF"}},
		{"an end in HEADERS", mobyBytes(fin(&moby.HeadersFrame{StreamId: 1, Headers: header("a", "b")})), []string{"status error", "error EOF"}},
		{"a header block that is none", unhex("8003000200000005 00000005 ff"), []string{"error EOF"}},

		{"GOAWAY", mobyBytes(goAway(7, 2)), []string{"close session 7 code 2", "error EOF"}},
		{"a stream from the server", mobyBytes(syn(2, "a", "b")), []string{"error streams: SPDY: a SYN_STREAM from the server"}},
		{"a reset without a status", unhex("8003000300000008 00000005 00000000"), []string{"reset stdout", "error EOF"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := spdy.NewExecUpstreamSource(reader(test.in), new(replies), all)
			equal(t, "frames", drain(t, source), test.want)
		})
	}
}

// TestClientSourceSet checks that the stream IDs depend on which streams the set has.
func TestClientSourceSet(t *testing.T) {
	set := streams.Set{Stdout: true, Terminal: true}
	in := mobyBytes(data(1, false, "{}"), data(3, false, "x"), data(5, true, "y"), data(7, true, "z"))
	source := spdy.NewExecUpstreamSource(reader(in), new(replies), set)
	equal(t, "frames", drain(t, source), []string{`data stdout "x"`, "half-close terminal", `status error "{}"`, "error EOF"})
}

// TestClientOpen checks that moby/spdystream can read the streams that Open opens, and that Open
// needs one write.
func TestClientOpen(t *testing.T) {
	tests := []struct {
		set  streams.Set
		want string
	}{
		{all, "1 error, 3 stdin, 5 stdout, 7 stderr"},
		{streams.Set{Stdin: true, Stdout: true, Terminal: true}, "1 error, 3 stdin, 5 stdout, 7 resize"},
		{streams.Set{Stdin: true, Stdout: true, Stderr: true, Terminal: true}, "1 error, 3 stdin, 5 stdout, 7 stderr, 9 resize"},
		{streams.Set{Stdout: true}, "1 error, 3 stdout"},
	}
	for _, test := range tests {
		w := new(wrote)
		if err := spdy.NewExecUpstreamSink(w, test.set).Open(); err != nil || w.writes != 1 {
			t.Fatalf("%d writes, %v", w.writes, err)
		}
		var got []string
		for _, f := range mobyFrames(t, w.bytes) {
			s := f.(*moby.SynStreamFrame)
			if s.AssociatedToStreamId != 0 || s.Priority != 0 || s.CFHeader.Flags != 0 || len(s.Headers) != 1 {
				t.Errorf("%+v", s)
			}
			got = append(got, fmt.Sprint(s.StreamId, " ", s.Headers.Get("streamType")))
		}
		if g := strings.Join(got, ", "); g != test.want {
			t.Errorf("opened %s", g)
		}
	}
}

// TestSampleSession checks that the bytes in the package documentation are correct.
func TestSampleSession(t *testing.T) {
	var toServer, toClient wrote
	client := spdy.NewExecUpstreamSink(&toServer, all)
	client.Open()
	answers := new(replies)
	source := spdy.NewExecDownstreamSource(reader(toServer.bytes), answers, all)
	drain(t, source)
	server := spdy.NewExecDownstreamSink(&toClient, source)
	server.Write(roomy(streams.Data, role(streams.Stdout), "hi"))
	server.Write(roomy(streams.HalfClose, role(streams.Stdout), ""))
	server.Write(roomy(streams.Reset, role(streams.Error), ""))
	server.Write(roomy(streams.Close, streams.Stream{}, ""))
	server.Flush()
	for _, sample := range []struct {
		name      string
		got, want []byte
	}{
		{"SYN_STREAM", toServer.bytes[:8+53], join(
			unhex("80 03 00 01 00 00 00 35"), unhex("00 00 00 01  00 00 00 00  00 00"), unhex("78 20 e3 c6 a7 c2"),
			unhex("00 1b 00 e4 ff"), unhex("00 00 00 01"), unhex("00 00 00 0a"), []byte("streamtype"), unhex("00 00 00 05"), []byte("error"),
			unhex("00 00 00 ff ff"))},
		{"SYN_REPLY", answers.said[1], unhex("80 03 00 02 00 00 00 12  00 00 00 03  00 04 00 fb ff 00 00 00 00 00 00 00 ff ff")},
		{"the server's frames", toClient.bytes, unhex("00 00 00 05 00 00 00 02 68 69  00 00 00 05 01 00 00 00" +
			"80 03 00 03 00 00 00 08 00 00 00 01 00 00 00 05  80 03 00 07 00 00 00 08 00 00 00 07 00 00 00 00")},
		{"PING", spdy.AppendPing(nil, 2), unhex("80 03 00 06 00 00 00 04 00 00 00 02")},
	} {
		if !bytes.Equal(sample.got, sample.want) {
			t.Errorf("%s\n got %x\nwant %x", sample.name, sample.got, sample.want)
		}
	}
}
