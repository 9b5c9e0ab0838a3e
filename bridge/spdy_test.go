package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	moby "github.com/moby/spdystream/spdy"
)

// spdyStory is what an SPDY peer has received, in the order on the wire. Each step is the stream id
// and the frame, such as "2:ping".
type spdyStory struct {
	frames []string
	data   map[int]string
	err    error
}

// readStory reads SPDY frames until the connection ends, and returns them as a spdyStory.
func readStory(f *moby.Framer) spdyStory {
	s := spdyStory{data: map[int]string{}}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			s.err = err
			return s
		}
		switch frame := frame.(type) {
		case *moby.SynReplyFrame:
			s.add(frame.StreamId, "accept")
		case *moby.DataFrame:
			if len(frame.Data) > 0 {
				s.add(frame.StreamId, "data")
				s.data[int(frame.StreamId)] += string(frame.Data)
			}
			if frame.Flags&moby.DataFlagFin != 0 {
				s.add(frame.StreamId, "fin")
			}
		case *moby.RstStreamFrame:
			s.add(frame.StreamId, "reset")
		case *moby.GoAwayFrame:
			s.add(0, "goaway")
		case *moby.PingFrame:
			s.add(moby.StreamId(frame.Id), "ping")
		default:
			s.add(0, fmt.Sprintf("%T", frame))
		}
	}
}

// add appends a step to the story. It merges consecutive data frames of one stream.
func (s *spdyStory) add(id moby.StreamId, what string) {
	step := fmt.Sprintf("%d:%s", id, what)
	if what != "data" || !slices.Contains(s.frames[max(0, len(s.frames)-1):], step) {
		s.frames = append(s.frames, step)
	}
}

// TestSPDYWire checks the exact frames that an SPDY client receives. A stream's SYN_REPLY comes
// before its data, even if the process is faster than the client. The Status comes after all output
// and after FIN on the output streams. GOAWAY is last.
func TestSPDYWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		fmt.Fprint(p.out, "out")
		fmt.Fprint(p.err, "err")
		return exitError(7)
	}}).start(t))
	want := map[string]struct{ status, last string }{
		"v4.channel.k8s.io": {`{"status":"Failure","message":"command terminated with non-zero exit code: exit status 7","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}`, "1:fin"},
		"v3.channel.k8s.io": {"command terminated with non-zero exit code: exit status 7", "1:fin"},
		"v2.channel.k8s.io": {"command terminated with non-zero exit code: exit status 7", "1:fin"},
		"channel.k8s.io":    {"command terminated with non-zero exit code: exit status 7", "1:fin"},
	}
	for version, want := range want {
		t.Run(version, func(t *testing.T) {
			for range 20 {
				c := w.rawSPDY(t, execPath, version)
				f := c.framer()
				open(t, f, "error", "stdin", "stdout", "stderr")
				s := readStory(f)
				if s.err != io.EOF {
					t.Errorf("the connection ended with %v", s.err)
				}
				for id := 1; id <= 7; id += 2 {
					first := slices.IndexFunc(s.frames, func(step string) bool { return strings.HasPrefix(step, fmt.Sprintf("%d:", id)) })
					if first < 0 || s.frames[first] != fmt.Sprintf("%d:accept", id) {
						t.Fatalf("stream %d does not begin with its accept: %v", id, s.frames)
					}
				}
				tail := s.frames[len(s.frames)-5:]
				slices.Sort(tail[:2])
				if end := []string{"5:fin", "7:fin", "1:data", "1:fin", "0:goaway"}; !slices.Equal(tail, end) {
					t.Fatalf("it ends with %v: %v", tail, s.frames)
				}
				if s.data[5] != "out" || s.data[7] != "err" || s.data[1] != want.status {
					t.Fatalf("the streams said %v", s.data)
				}
				c.Close()
			}
		})
	}
}

// TestSPDYSuccess checks how edge reports the success of an exec over SPDY: v4 with a Status, older
// versions with an empty error stream.
func TestSPDYSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(*process) error { return nil }}).start(t))
	for version, want := range map[string]string{
		"v4.channel.k8s.io": `{"status":"Success"}`,
		"v3.channel.k8s.io": "", "v2.channel.k8s.io": "", "channel.k8s.io": "",
	} {
		c := w.rawSPDY(t, execPath, version)
		f := c.framer()
		open(t, f, "stderr", "error", "stdout", "stdin") // clients may use any order
		if s := readStory(f); s.err != io.EOF || s.data[3] != want || !slices.Contains(s.frames, "3:fin") {
			t.Errorf("%s: %v %v %v", version, s.data, s.frames, s.err)
		}
	}
}

// TestSPDYAcceptsAtOnce checks that edge accepts each SPDY stream immediately, because client-go
// opens the next stream only after that.
func TestSPDYAcceptsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		_, err := io.Copy(p.out, p.in)
		return err
	}}).start(t))
	c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
	f := c.framer()
	for i, kind := range []string{"error", "stdin", "stdout", "stderr"} {
		id := moby.StreamId(2*i + 1)
		f.WriteFrame(&moby.SynStreamFrame{StreamId: id, Headers: http.Header{"Streamtype": {kind}}})
		frame, err := f.ReadFrame()
		if reply, ok := frame.(*moby.SynReplyFrame); !ok || reply.StreamId != id {
			t.Fatalf("opening %s: %+v, %v", kind, frame, err)
		}
	}
	f.WriteFrame(&moby.DataFrame{StreamId: 3, Data: []byte("hello"), Flags: moby.DataFlagFin})
	if s := readStory(f); s.data[5] != "hello" {
		t.Errorf("%v", s.data)
	}
}

// TestSPDYNotWhole checks that an SPDY client which does not open all its streams in time receives
// a failure on its error stream.
func TestSPDYNotWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: untilGone}).start(t))
	// The time must be long enough for the error stream, which the failure needs.
	w.handler.SetTimes(time.Minute, 100*time.Millisecond, 3*time.Second)
	c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
	f := c.framer()
	open(t, f, "error", "stdin")
	s := readStory(f)
	if !strings.Contains(s.data[1], `"status":"Failure"`) || !strings.Contains(s.data[1], "did not open its streams in time") {
		t.Errorf("%v %v %v", s.data, s.frames, s.err)
	}
}

// TestSPDYBreachBeforeWhole checks that edge ends the session immediately if the client violates
// the protocol before it has opened all its streams. edge must not wait for the client's GOAWAY.
func TestSPDYBreachBeforeWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: untilGone}).start(t))
	w.handler.SetTimes(time.Minute, time.Minute, time.Minute)
	c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
	f := c.framer()
	open(t, f, "error")
	f.WriteFrame(&moby.SynStreamFrame{StreamId: 2, Headers: http.Header{"Streamtype": {"stdin"}}})
	s := readStory(f)
	if !strings.Contains(s.data[1], `"status":"Failure"`) || s.err != io.EOF {
		t.Errorf("%v %v %v", s.data, s.frames, s.err)
	}
	c.Close()
}

// TestSPDYDrainBeforeWhole checks that a drain waits until the client has opened its streams:
// client-go reads nothing before all of them are accepted.
func TestSPDYDrainBeforeWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: untilGone}).start(t))
	c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
	f := c.framer()
	open(t, f, "error", "stdin")
	for range 2 {
		f.ReadFrame()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		w.handler.Drain(ctx)
	}()
	w.eventually("the drain", func() bool { return w.handler.Draining() })
	time.Sleep(50 * time.Millisecond) // a GOAWAY that comes too early would arrive in this time
	f.WriteFrame(&moby.SynStreamFrame{StreamId: 5, Headers: http.Header{"Streamtype": {"stdout"}}})
	f.WriteFrame(&moby.SynStreamFrame{StreamId: 7, Headers: http.Header{"Streamtype": {"stderr"}}})
	s := readStory(f)
	accept, goAway := slices.Index(s.frames, "7:accept"), slices.Index(s.frames, "0:goaway")
	if accept < 0 || goAway < accept || !strings.Contains(s.data[1], "shutting down") {
		t.Errorf("%v %v %v", s.data, s.frames, s.err)
	}
	c.Close()
	<-drained
}

// TestSPDYHandshake checks upgrade requests in the forms that clients send.
func TestSPDYHandshake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(*process) error { return nil }}).start(t))
	for name, test := range map[string]struct {
		ask    []string
		chosen string // the version in the answer; "": edge refuses
		code   int
	}{
		"client-go":                 {askSPDY(execPath, "v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"), "v4.channel.k8s.io", 101},
		"a list":                    {askSPDY(execPath, "v5.channel.k8s.io,v3.channel.k8s.io , v4.channel.k8s.io"), "v3.channel.k8s.io", 101},
		"the client's first choice": {askSPDY(execPath, "v2.channel.k8s.io", "v4.channel.k8s.io"), "v2.channel.k8s.io", 101},
		"v5 alone":                  {askSPDY(execPath, "v5.channel.k8s.io"), "v5.channel.k8s.io", 101},
		"GET":                       {append([]string{strings.Replace(askSPDY(execPath)[0], "POST", "GET", 1)}, askSPDY(execPath, "v4.channel.k8s.io")[1:]...), "v4.channel.k8s.io", 101},
		"lists, any case": {[]string{"POST " + execPath + " HTTP/1.1", "Host: e", "Connection: keep-alive, uPGRADE", "Upgrade: spdy/3.1, SPDY/3.1",
			"x-stream-protocol-version: v4.channel.k8s.io"}, "v4.channel.k8s.io", 101},
		"Upgrade twice":                   {append(askSPDY(execPath, "v4.channel.k8s.io"), "Upgrade: SPDY/3.1"), "v4.channel.k8s.io", 101},
		"nothing in common":               {askSPDY(execPath, "v9.channel.k8s.io"), "", 403},
		"no version":                      {askSPDY(execPath), "", 400},
		"port-forward":                    {askSPDY(forwardPath, "portforward.k8s.io"), "portforward.k8s.io", 101},
		"exec's version for port-forward": {askSPDY(forwardPath, "v4.channel.k8s.io"), "", 403},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, w.edge)
			c.ask("", test.ask...)
			resp := c.answer()
			if resp.StatusCode != test.code {
				t.Fatalf("the answer is %s", resp.Status)
			}
			if test.chosen == "" {
				if accepted := resp.Header.Values("X-Accepted-Stream-Protocol-Versions"); test.code == 403 && len(accepted) == 0 {
					t.Errorf("a refusal without the versions that are accepted: %v", resp.Header)
				}
				return
			}
			want := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}, "X-Stream-Protocol-Version": {test.chosen}}
			resp.Header.Del("Date")
			if fmt.Sprint(resp.Header) != fmt.Sprint(want) {
				t.Errorf("the answer's header is %v", resp.Header)
			}
		})
	}
}

// TestEarlyBytes checks that edge keeps the bytes that a client sends together with its request,
// and relays them only after the API server's 101.
func TestEarlyBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		b := make([]byte, 5)
		_, err := io.ReadFull(p.in, b)
		p.out.Write(b)
		return err
	}}).start(t))
	for _, version := range webSocketVersions {
		c := dialRaw(t, w.edge)
		c.ask(message("\x00he")+message("\x00llo"), askWebSocket(execPath, "Sec-WebSocket-Protocol: "+version)...)
		c.answer()
		frames, err := readFrames(c, false)
		if len(frames) < 2 || frames[1].payload != "\x01hello" {
			t.Errorf("%s: %+v, %v", version, frames, err)
		}
	}
	var early strings.Builder
	f, err := moby.NewFramer(&early, nil)
	if err != nil {
		t.Fatal(err)
	}
	open(t, f, "error", "stdin", "stdout", "stderr")
	f.WriteFrame(&moby.DataFrame{StreamId: 3, Data: []byte("hello")})
	c := dialRaw(t, w.edge)
	c.ask(early.String(), askSPDY(execPath, "v4.channel.k8s.io")...)
	c.answer()
	if s := readStory(c.framer()); s.data[5] != "hello" {
		t.Errorf("%v %v", s.data, s.err)
	}
}

// TestSPDYPings checks that edge answers the client's pings with the same id, and numbers its own
// pings with even ids.
func TestSPDYPings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, (&apiServer{run: func(p *process) error {
		_, err := io.Copy(io.Discard, p.in)
		return errors.Join(err, exitError(7))
	}}).start(t))
	w.handler.SetTimes(10*time.Millisecond, time.Second, time.Second)
	c := w.rawSPDY(t, execPath, "v4.channel.k8s.io")
	f := c.framer()
	open(t, f, "error", "stdin", "stdout", "stderr")
	f.WriteFrame(&moby.PingFrame{Id: 1})
	f.WriteFrame(&moby.PingFrame{Id: 77})
	time.AfterFunc(100*time.Millisecond, func() { f.WriteFrame(&moby.DataFrame{StreamId: 3, Flags: moby.DataFlagFin}) })
	s := readStory(f)
	for _, want := range []string{"1:ping", "77:ping", "2:ping", "4:ping"} {
		if !slices.Contains(s.frames, want) {
			t.Errorf("no %s: %v", want, s.frames)
		}
	}
}
