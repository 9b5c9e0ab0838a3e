package ws_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"edge/streams"
	"edge/streams/ws"
)

// onData and onError return a frame for the data or the error stream of connection n, as a source
// returns it.
func onData(n int, payload string) streams.Frame {
	f := say(streams.Data, streams.Port, payload)
	f.Stream, _ = streams.PortStreams(n)
	return f
}

func onError(n int, payload string) streams.Frame {
	f := say(streams.Data, streams.Port, payload)
	_, f.Stream = streams.PortStreams(n)
	return f
}

// TestPortSink checks the messages that PortSink writes for frames.
func TestPortSink(t *testing.T) {
	big := strings.Repeat("b", streams.Small)
	unsaid := func(kind streams.Kind) streams.Frame {
		f := onData(0, "x")
		f.Kind = kind
		return f
	}
	elsewhere := onData(0, "x")
	elsewhere.Stream.ID = 2
	for _, c := range []struct {
		name string
		in   []streams.Frame
		want []string // channel and payload of each message; "close" for the Close
	}{
		{"nothing", []streams.Frame{flush}, nil},
		{"data waits for Flush", []streams.Frame{onData(0, "a")}, nil},
		{"data", []streams.Frame{onData(1, "a"), flush, flush}, []string{"2a"}},
		{"data of one channel is merged", []streams.Frame{onData(1, "a"), onData(1, ""), onData(0, ""), onData(1, "bc"), flush}, []string{"2abc"}},
		{
			"channels keep their order",
			[]streams.Frame{onData(0, "a"), onData(1, "b"), onError(1, "c"), onError(1, "d"), onData(0, "e"), flush},
			[]string{"0a", "2b", "3cd", "0e"},
		},
		{"large data goes at once", []streams.Frame{onData(0, "a"), onData(0, big), onData(1, "c"), onError(1, big), flush}, []string{"0a", "0" + big, "2c", "3" + big}},
		{
			"what cannot be said",
			[]streams.Frame{
				unsaid(streams.Open), unsaid(streams.Accept), unsaid(streams.Headers), unsaid(streams.HalfClose), unsaid(streams.Reset),
				unsaid(streams.Resize), unsaid(streams.Status), stdout("x"), elsewhere, onData(2, "x"), onError(2, "x"), onData(127, "x"), flush,
			},
			nil,
		},
		{"a half-close sends what waits", []streams.Frame{onData(0, "a"), unsaid(streams.HalfClose)}, []string{"0a"}},
		{"nothing follows a Close", []streams.Frame{onData(0, "a"), closing(1000), onData(0, "b"), onData(0, big), closing(1000), flush}, []string{"0a", "close"}},
	} {
		for _, d := range portDialects {
			w := &writes{}
			s := ws.NewPortSink(w, []uint16{80, 443}, d)
			for _, f := range c.in {
				f.Buf = bytes.Clone(f.Buf)
				var err error
				if f.Kind == flush.Kind {
					err = s.Flush()
				} else {
					err = s.Write(f)
				}
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
			var want []string
			for _, m := range c.want {
				if m == "close" {
					want = append(want, "\x88\x02\x03\xe8")
					continue
				}
				want = append(want, string(serverFrame(d, m[0]-'0', m[1:])))
			}
			var got []string
			for _, b := range w.out {
				got = append(got, string(b))
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				t.Errorf("%s, %v: wrote %.500q, want %.500q", c.name, d, got, want)
			}
		}
	}
}

// serverFrame returns a server's message in one frame of less than 64 KiB.
func serverFrame(d ws.Dialect, channel byte, payload string) []byte {
	first, b := byte(fin|opBinary), string([]byte{channel})+payload
	if d == ws.V4Base64Channel {
		first, b = fin|opText, string([]byte{'0' + channel})+base64.StdEncoding.EncodeToString([]byte(payload))
	}
	if len(b) < 126 {
		return append([]byte{first, byte(len(b))}, b...)
	}
	return append([]byte{first, 126, byte(len(b) >> 8), byte(len(b))}, b...)
}

// TestPortStart checks that the first message on each channel is the number of its port, low byte
// first, in one write of its own.
func TestPortStart(t *testing.T) {
	ports := make([]uint16, ws.MaxPorts)
	for n := range ports {
		ports[n] = 0xff00 + uint16(n)
	}
	for _, d := range portDialects {
		w := &writes{}
		if err := ws.NewPortSink(w, ports, d).Start(); err != nil || len(w.out) != 2*ws.MaxPorts {
			t.Fatalf("%v: %d writes, %v", d, len(w.out), err)
		}
		for channel, got := range w.out {
			if want := serverFrame(d, byte(channel), string([]byte{byte(channel / 2), 0xff})); !bytes.Equal(got, want) {
				t.Errorf("%v: channel %d: %q, want %q", d, channel, got, want)
			}
		}
	}
}

// TestPortSinkError checks that Write and Flush each return the error of the write that they cause.
func TestPortSinkError(t *testing.T) {
	broken := errors.New("broken")
	for name, call := range map[string]func(*ws.PortSink) error{
		"start": func(s *ws.PortSink) error { return s.Start() },
		"large": func(s *ws.PortSink) error { return s.Write(onData(0, strings.Repeat("b", streams.Small))) },
		"flush": func(s *ws.PortSink) error { s.Write(onData(0, "a")); return s.Flush() },
		"other": func(s *ws.PortSink) error { s.Write(onData(0, "a")); return s.Write(onError(0, "b")) },
		"close": func(s *ws.PortSink) error { return s.Write(closing(1000)) },
	} {
		for _, d := range portDialects {
			if err := call(ws.NewPortSink(&writes{err: broken}, []uint16{80}, d)); err != broken {
				t.Errorf("%s, %v: %v", name, d, err)
			}
		}
	}
}
