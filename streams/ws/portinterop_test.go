package ws_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gorilla/websocket"
	xnet "golang.org/x/net/websocket"

	"edge/streams"
	"edge/streams/ws"
)

// portCaptures are bytes that real clients sent after the handshake, in sessions with three ports.
var portCaptures = []struct {
	file   string
	d      ws.Dialect
	record func(t *testing.T, addr string)
	want   []string
}{
	{
		file: "ports.gorilla", d: ws.V4Channel,
		record: func(t *testing.T, addr string) {
			c := dial(t, addr, ws.V4, 16)
			defer c.Close()
			w, _ := c.NextWriter(websocket.BinaryMessage) // a message of three fragments
			io.WriteString(w, "\x02"+strings.Repeat("0123456789", 4))
			c.WriteControl(websocket.PingMessage, []byte("ping"), time.Time{})
			w.Close()
			c.WriteMessage(websocket.BinaryMessage, []byte("\x00GET /"))
			c.WriteMessage(websocket.BinaryMessage, []byte("\x01for nobody"))
			c.WriteMessage(websocket.TextMessage, []byte("\x04c"))
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Time{})
		},
		want: []string{
			`data 1 "012345678901234"`, `data 1 "5678901234567890"`, `answer "\x8a\x04ping"`, `data 1 "123456789"`,
			`data 0 "GET /"`, `data 2 "c"`, "close 1000",
		},
	},
	{
		file: "ports.xnet", d: ws.V4Channel,
		record: func(t *testing.T, addr string) {
			c, err := xnet.Dial("ws://"+addr+"/", ws.V4, "http://localhost/")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			xnet.Message.Send(c, append([]byte{4}, strings.Repeat("a", 126)...))
			xnet.Message.Send(c, []byte("\x02b"))
			xnet.Message.Send(c, []byte{255, 2})
			xnet.Message.Send(c, []byte("\x02c"))
		},
		want: []string{`data 2 "` + strings.Repeat("a", 126) + `"`, `data 1 "b"`, `data 1 "c"`, "close 1000"},
	},
	{
		file: "ports.xnet64", d: ws.V4Base64Channel,
		record: func(t *testing.T, addr string) {
			c, err := xnet.Dial("ws://"+addr+"/", ws.V4Base64, "http://localhost/")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, m := range []string{"a", "bc", "def"} {
				xnet.Message.Send(c, "4"+base64.StdEncoding.EncodeToString([]byte(m)))
				xnet.Message.Send(c, "1"+m)
			}
		},
		want: []string{`data 2 "a"`, `data 2 "bc"`, `data 2 "def"`, "close 1000"},
	},
}

const capturedPorts = 3

// TestPortSplits checks that a PortSource returns the same frames for the captured bytes wherever
// they are split, in two or in three.
func TestPortSplits(t *testing.T) {
	for _, c := range portCaptures {
		t.Run(c.file, func(t *testing.T) {
			path := filepath.Join("testdata", c.file)
			if *update {
				var got bytes.Buffer
				// The capture is a subtest, because its cleanup waits until the server has ended and has
				// written all bytes to got.
				t.Run("capture", func(t *testing.T) {
					c.record(t, serve(t, c.d.String(), func(conn net.Conn) { io.Copy(&got, conn) }))
				})
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			in, err := os.ReadFile(path)
			if err != nil || len(in) == 0 || len(in) > 512 {
				t.Fatalf("%d bytes, %v", len(in), err)
			}
			whole := strings.Join(c.want, "\n")
			for a := range in {
				for b := a; b < len(in); b++ {
					e := readPorts(t, split(in, a, b), capturedPorts, c.d)
					if got := strings.Join(e.lines, "\n"); got != whole || e.err != io.EOF {
						t.Fatalf("cut at %d and %d: %v after\n%s\nwant\n%s", a, b, e.err, got, whole)
					}
				}
			}
		})
	}
}

// echoPorts returns a server of port-forward. On each connection it sends back what it receives
// there, and it sends the number of bytes on the error channel.
func echoPorts(t *testing.T, ports []uint16, d ws.Dialect) func(net.Conn) {
	return func(c net.Conn) {
		w := &wire{c: c}
		sink := ws.NewPortSink(w, ports, d)
		if err := sink.Start(); err != nil {
			t.Error(err)
			return
		}
		r := streams.NewReader(c, sink.Flush)
		defer r.Close()
		source := ws.NewPortSource(r, w, len(ports), d)
		for {
			f, err := source.Next()
			if err != nil {
				if err != io.EOF {
					t.Errorf("server: %v", err)
				}
				return
			}
			if err := sink.Write(f); err != nil {
				t.Errorf("server: %v", err)
				return
			}
			if n, _, _ := streams.PortOf(f.Stream.ID); f.Kind == streams.Data {
				sink.Write(onError(n, fmt.Sprintf("%d,", len(f.Payload()))))
			}
		}
	}
}

// A portPeer is a port-forward client made with another WebSocket package.
type portPeer struct {
	send  func(channel byte, payload []byte) error
	read  func() (channel byte, payload []byte, err error)
	close func() (code int) // closes the session; code of the server's Close, -1: not available
}

func gorillaPeer(t *testing.T, addr string, d ws.Dialect) portPeer {
	c := dial(t, addr, d.String(), 4096) // gorilla fragments messages longer than 4096 bytes
	t.Cleanup(func() { c.Close() })
	kind := websocket.BinaryMessage
	if d == ws.V4Base64Channel {
		kind = websocket.TextMessage
	}
	return portPeer{
		send: func(channel byte, payload []byte) error { return c.WriteMessage(kind, encoded(d, channel, payload)) },
		read: func() (byte, []byte, error) {
			got, b, err := c.ReadMessage()
			if err == nil && got != kind {
				err = fmt.Errorf("a message of kind %d", got)
			}
			return decoded(d, b, err)
		},
		close: func() int {
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{})
			_, _, err := c.ReadMessage()
			if e, ok := errors.AsType[*websocket.CloseError](err); ok {
				return e.Code
			}
			return 0
		},
	}
}

func xnetPeer(t *testing.T, addr string, d ws.Dialect) portPeer {
	c, err := xnet.Dial("ws://"+addr+"/", d.String(), "http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return portPeer{
		send: func(channel byte, payload []byte) error {
			b := encoded(d, channel, payload)
			if d == ws.V4Base64Channel {
				return xnet.Message.Send(c, string(b))
			}
			return xnet.Message.Send(c, b)
		},
		read: func() (byte, []byte, error) {
			var b []byte
			err := xnet.Message.Receive(c, &b)
			return decoded(d, b, err)
		},
		close: func() int { c.Close(); return -1 },
	}
}

func encoded(d ws.Dialect, channel byte, payload []byte) []byte {
	if d == ws.V4Base64Channel {
		return base64.StdEncoding.AppendEncode([]byte{'0' + channel}, payload)
	}
	return append([]byte{channel}, payload...)
}

func decoded(d ws.Dialect, b []byte, err error) (byte, []byte, error) {
	if err != nil || len(b) == 0 {
		return 0, nil, errors.Join(err, errors.New("no message"))
	}
	if d == ws.V4Base64Channel {
		payload, err := base64.StdEncoding.DecodeString(string(b[1:]))
		return b[0] - '0', payload, err
	}
	return b[0], b[1:], nil
}

// TestPortInterop checks that clients made with gorilla/websocket and golang.org/x/net/websocket
// can use several ports at once, with messages of every size, and receive what they sent.
func TestPortInterop(t *testing.T) {
	ports := []uint16{80, 443, 80, 65535}
	for name, peer := range map[string]func(*testing.T, string, ws.Dialect) portPeer{"gorilla": gorillaPeer, "xnet": xnetPeer} {
		for _, d := range portDialects[1:] {
			t.Run(name+" "+d.String(), func(t *testing.T) {
				p := peer(t, serve(t, d.String(), echoPorts(t, ports, d)), d)
				for n, port := range ports {
					for side := range 2 {
						channel, b, err := p.read()
						if err != nil || channel != byte(2*n+side) || !bytes.Equal(b, []byte{byte(port), byte(port >> 8)}) {
							t.Fatalf("start: channel %d, %x, %v", channel, b, err)
						}
					}
				}
				var want [4][]byte
				total := 0
				for i, size := range inputs {
					b := make([]byte, size)
					for j := range b {
						b[j] = byte(i + j + j>>8)
					}
					want[i%4] = append(want[i%4], b...)
					total += size
				}
				var group sync.WaitGroup
				group.Go(func() {
					var said [4]int
					for i, size := range inputs {
						n := i % 4
						if err := p.send(byte(2*n), want[n][said[n]:said[n]+size]); err != nil {
							t.Error(err)
						}
						said[n] += size
					}
				})
				var got [4][]byte
				var lengths [4]int
				for total > 0 || !slices.Equal(lengths[:], []int{len(want[0]), len(want[1]), len(want[2]), len(want[3])}) {
					channel, b, err := p.read()
					if err != nil || channel > 7 {
						t.Fatalf("channel %d, %v", channel, err)
					}
					if n := channel / 2; channel%2 == 0 {
						got[n] = append(got[n], b...)
						total -= len(b)
					} else {
						for length := range strings.SplitSeq(strings.TrimSuffix(string(b), ","), ",") {
							var l int
							fmt.Sscan(length, &l)
							lengths[n] += l
						}
					}
				}
				group.Wait()
				for n := range got {
					if !bytes.Equal(got[n], want[n]) {
						t.Errorf("connection %d: %d bytes, want %d", n, len(got[n]), len(want[n]))
					}
				}
				if code := p.close(); code != -1 && code != 1000 {
					t.Errorf("Close %d", code)
				}
			})
		}
	}
}

// FuzzPortSource compares the frames that PortSource returns with its frames when the bytes come
// one by one, and with what gorilla/websocket's server reads, interpreted as the channel protocol.
func FuzzPortSource(f *testing.F) {
	add := func(b []byte) {
		f.Add(b, byte(capturedPorts), false)
		f.Add(b, byte(1), true)
	}
	seed(f, false, add)
	for _, c := range portCaptures {
		b, err := os.ReadFile(filepath.Join("testdata", c.file))
		if err != nil {
			f.Fatal(err)
		}
		add(b)
	}
	add(frame(fin|opText, "0YQ==YQ=="))
	add(join(frame(opText, "0Y"), frame(opContinuation, "Q="), frame(fin|opClose, "")))
	f.Fuzz(func(t *testing.T, in []byte, ports byte, text bool) {
		d, most := ws.V4Channel, ws.MaxPorts
		if text {
			d, most = ws.V4Base64Channel, ws.MaxPortsBase64
		}
		n := 1 + int(ports)%most
		e := readPorts(t, bytes.NewReader(in), n, d)
		again := readPorts(t, iotest.OneByteReader(bytes.NewReader(in)), n, d)
		if a, b := spread(e), spread(again); fmt.Sprintf("%q", a) != fmt.Sprintf("%q", b) || fmt.Sprint(e.err) != fmt.Sprint(again.err) {
			t.Fatalf("read at once: %q, %v\nbyte by byte: %q, %v", a, e.err, b, again.err)
		}
		h := gorilla(in)
		if !text {
			compare(t, spread(e), h.ports(n), e.err, h)
			return
		}
		got, want, exact := spread(e).data["ports"], h.ports64(n), e.err == io.EOF && !slices.ContainsFunc(h.messages, func(m heardMessage) bool { return !m.whole })
		if !strings.HasPrefix(want, got) || exact && got != want {
			t.Fatalf("got  %.500q, %v\nwant %.500q, %v", got, e.err, want, h.err)
		}
	})
}

// spread returns the data of each connection, byte by byte.
func spread(e *events) said {
	s := newSaid()
	for _, l := range e.lines {
		var n int
		var b string
		switch kind, _, _ := strings.Cut(l, " "); kind {
		case "data":
			fmt.Sscanf(l, "data %d %q", &n, &b)
			s.data["ports"] += each(n, b)
		case "close":
			s.closed = l
		case "answer":
			s.answers = append(s.answers, l)
		}
	}
	return s
}

func each(n int, b string) string {
	var s []byte
	for i := range len(b) {
		s = append(s, byte(n), b[i])
	}
	return string(s)
}

// ports interprets the messages that gorilla read as port-forward with n ports in the binary
// dialects.
func (h *heard) ports(n int) said {
	s := h.common()
	for _, m := range h.messages {
		if len(m.b) > 1 && m.b[0]%2 == 0 && int(m.b[0]/2) < n {
			s.data["ports"] += each(int(m.b[0]/2), string(m.b[1:]))
		}
	}
	return s
}

// ports64 interprets the messages that gorilla read as port-forward with n ports in base64, up to
// the first invalid message. For an incomplete message it returns the bytes that can be decoded.
func (h *heard) ports64(n int) (said string) {
	for _, m := range h.messages {
		if len(m.b) == 0 {
			continue
		}
		channel := m.b[0] - '0'
		if channel%2 != 0 || int(channel/2) >= n {
			continue
		}
		var longest []byte
		whole := false
		for end := len(m.b); end > 0 && !whole; end-- {
			for _, rest := range []string{"", "A", "AA", "AAA", "=", "A=", "AA=", "=="} {
				if b, err := base64.StdEncoding.DecodeString(string(m.b[1:end]) + rest); err == nil && len(b) >= len(longest) {
					longest, whole = b, true
				}
			}
		}
		said += each(int(channel/2), string(longest))
		if _, err := base64.StdEncoding.DecodeString(string(m.b[1:])); err != nil {
			break
		}
	}
	return said
}

// portPaths are the ways in which data passes through this package in a port-forward; paths has
// those of exec.
var portPaths = []struct {
	name string
	step func(n int) func() error
}{
	{"PortSource", func(n int) func() error {
		in := join(message("\x00"+strings.Repeat("a", n)), message("\x02"+strings.Repeat("b", n)))
		s := ws.NewPortSource(streams.NewReader(&endless{b: in}, nil), mute{}, 2, ws.V4Channel)
		return func() error {
			_, err := s.Next()
			return err
		}
	}},
	{"PortSource base64", func(n int) func() error {
		in := onPort(ws.V4Base64Channel, 2, strings.Repeat("a", n))
		s := ws.NewPortSource(streams.NewReader(&endless{b: in}, nil), mute{}, 2, ws.V4Base64Channel)
		return func() error {
			_, err := s.Next()
			return err
		}
	}},
	{"PortSink", func(n int) func() error { return toPorts(n, ws.V4Channel) }},
	{"PortSink base64", func(n int) func() error { return toPorts(n, ws.V4Base64Channel) }},
}

// toPorts returns a function that writes data of two connections alternately.
func toPorts(n int, d ws.Dialect) func() error {
	s := ws.NewPortSink(nowhere{}, []uint16{80, 443}, d)
	a, b := onData(0, strings.Repeat("a", n)), onData(1, strings.Repeat("b", n))
	return func() error {
		a, b = b, a
		return s.Write(a)
	}
}

// TestPortAllocations checks that reading and writing a port-forward's data allocates nothing.
func TestPortAllocations(t *testing.T) {
	for _, p := range portPaths {
		for _, n := range []int{1, 100, 4 << 10, 32 << 10} {
			step := p.step(n)
			if got := testing.AllocsPerRun(1000, func() {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}); got != 0 {
				t.Errorf("%s of %d bytes: %v allocations", p.name, n, got)
			}
		}
	}
}

func BenchmarkPorts(b *testing.B) {
	for _, p := range portPaths {
		for _, n := range []int{100, 4 << 10, 32 << 10} {
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(p.name, " ", "-"), n), func(b *testing.B) {
				step := p.step(n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					if err := step(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
