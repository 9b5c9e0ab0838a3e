package spdy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	moby "github.com/moby/spdystream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// mobyBytes returns the bytes that moby/spdystream writes for frames.
func mobyBytes(frames ...moby.Frame) []byte {
	var b bytes.Buffer
	framer := must(moby.NewFramer(&b, nil))
	for _, f := range frames {
		if err := framer.WriteFrame(f); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// syn returns a SYN_STREAM with the given pairs of header names and values.
func syn(id moby.StreamId, headers ...string) *moby.SynStreamFrame {
	return &moby.SynStreamFrame{StreamId: id, Headers: header(headers...)}
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func data(id moby.StreamId, fin bool, b string) *moby.DataFrame {
	f := &moby.DataFrame{StreamId: id, Data: []byte(b)}
	if fin {
		f.Flags = moby.DataFlagFin
	}
	return f
}

func reset(id moby.StreamId) *moby.RstStreamFrame {
	return &moby.RstStreamFrame{StreamId: id, Status: moby.Cancel}
}

// opened returns a Table (the open streams of a port-forward) in which a client has opened the
// streams ids.
func opened(ids ...moby.StreamId) *spdy.Table {
	var frames []moby.Frame
	for _, id := range ids {
		frames = append(frames, syn(id, "port", "80"))
	}
	return tableOf(mobyBytes(frames...))
}

// tableOf returns the Table (the open streams) after a port-forward client has sent b.
func tableOf(b []byte) *spdy.Table {
	table := new(spdy.Table)
	if err := last(spdy.NewRelaySource(reader(b), new(replies), spdy.Client, table)); err != io.EOF {
		panic(err)
	}
	return table
}

func reader(b []byte) *streams.Reader { return streams.NewReader(bytes.NewReader(b), nil) }

// mobyFrames returns the frames that moby/spdystream reads from b.
func mobyFrames(t testing.TB, b []byte) (frames []moby.Frame) {
	t.Helper()
	framer := must(moby.NewFramer(nil, bytes.NewReader(b)))
	for {
		f, err := framer.ReadFrame()
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatalf("frame %d: %v", len(frames), err)
		}
		frames = append(frames, f)
	}
}

// said returns the frames that moby/spdystream reads from b, as text.
func said(t testing.TB, b []byte) (lines []string) {
	t.Helper()
	for _, f := range mobyFrames(t, b) {
		switch f := f.(type) {
		case *moby.DataFrame:
			lines = append(lines, fmt.Sprintf("data %d %q fin %d", f.StreamId, f.Data, f.Flags))
		case *moby.RstStreamFrame:
			lines = append(lines, fmt.Sprintf("reset %d status %d", f.StreamId, f.Status))
		case *moby.GoAwayFrame:
			lines = append(lines, fmt.Sprintf("goaway %d status %d", f.LastGoodStreamId, f.Status))
		case *moby.PingFrame:
			lines = append(lines, fmt.Sprintf("ping %d", f.Id))
		case *moby.SynReplyFrame:
			lines = append(lines, fmt.Sprintf("reply %d", f.StreamId))
		default:
			lines = append(lines, fmt.Sprintf("%T", f))
		}
	}
	return lines
}
