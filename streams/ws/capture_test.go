package ws_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/streams/ws"

	"github.com/gorilla/websocket"
	xnet "golang.org/x/net/websocket"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
)

var update = flag.Bool("update", false, "capture testdata anew from the clients")

// captures are sessions' bytes, client to server after the handshake, as real
// clients sent them, and what they say.
var captures = []struct {
	file   string
	record func(t *testing.T, addr string)
	server bool // a server sent them
	d      ws.Dialect
	want   []string
	tunnel string // the tunnelled bytes, instead of want
}{
	{
		file: "gorilla.v5",
		d:    ws.V5Channel,
		record: func(t *testing.T, addr string) {
			c := dial(t, addr, ws.V5, 16)
			defer c.Close()
			w, _ := c.NextWriter(websocket.BinaryMessage) // three fragments
			io.WriteString(w, "\x00"+strings.Repeat("0123456789", 4))
			c.WriteControl(websocket.PingMessage, []byte("ping"), time.Time{})
			w.Close()
			c.WriteMessage(websocket.BinaryMessage, nil)
			c.WriteMessage(websocket.TextMessage, []byte("\x04"+size))
			c.WriteControl(websocket.PongMessage, nil, time.Time{})
			c.WriteMessage(websocket.BinaryMessage, []byte{255, 0})
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Time{})
		},
		want: []string{
			`data stdin "012345678901234"`, `data stdin "5678901234567890"`, `answer "\x8a\x04ping"`, `data stdin "123456789"`,
			fmt.Sprintf("resize terminal %q", size), "half-close stdin", "close 1000",
		},
	},
	{
		file: "gorilla.v4",
		d:    ws.V4Channel,
		record: func(t *testing.T, addr string) {
			c := dial(t, addr, ws.V4, 4096)
			defer c.Close()
			c.WriteMessage(websocket.TextMessage, []byte("\x00grün"))
			c.WriteMessage(websocket.BinaryMessage, []byte("\x01not for a client"))
			c.WriteMessage(websocket.BinaryMessage, append([]byte{0}, strings.Repeat("a", 130)...))
			c.WriteControl(websocket.CloseMessage, nil, time.Time{})
		},
		want: []string{
			`data stdin "grün"`, `data stdin "` + strings.Repeat("a", 130) + `"`, "close 0",
		},
	},
	{
		file: "xnet.v4",
		d:    ws.V4Channel,
		record: func(t *testing.T, addr string) {
			c, err := xnet.Dial("ws://"+addr+"/", ws.V4, "http://localhost/")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			xnet.Message.Send(c, []byte("\x00ls\n"))
			xnet.Message.Send(c, "\x00exit\n")
			xnet.Message.Send(c, "\x04"+size)
			c.PayloadType = xnet.PingFrame
			c.Write([]byte("p"))
			xnet.Message.Send(c, append([]byte{0}, strings.Repeat("a", 126)...))
			xnet.Message.Send(c, []byte{255, 0})
		},
		want: []string{
			`data stdin "ls\n"`, `data stdin "exit\n"`, fmt.Sprintf("resize terminal %q", size), `answer "\x8a\x01p"`,
			`data stdin "` + strings.Repeat("a", 126) + `"`, "close 1000",
		},
	},
	{
		file: "client-go.v5",
		d:    ws.V5Channel,
		record: func(t *testing.T, addr string) {
			e, err := remotecommand.NewWebSocketExecutor(&rest.Config{Host: "http://" + addr}, "GET", "http://"+addr)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			e.StreamWithContext(ctx, remotecommand.StreamOptions{
				Stdin: strings.NewReader("ls\nexit\n"), Stdout: io.Discard, Tty: true,
				TerminalSizeQueue: &once{&remotecommand.TerminalSize{Width: 80, Height: 24}},
			})
		},
		want: []string{fmt.Sprintf("resize terminal %q", size), `data stdin "ls\nexit\n"`, "half-close stdin"},
	},
	{
		file: "client-go.tunnel",
		record: func(t *testing.T, addr string) {
			c := portforward.NewTunnelingConnection("", dial(t, addr, ws.TunnelPortForward, 4096))
			c.Write([]byte("SPDY bytes, "))
			c.Write([]byte("cut anywhere, also within what is one frame to SPDY"))
			c.Close()
		},
		tunnel: "SPDY bytes, cut anywhere, also within what is one frame to SPDY",
	},
}

// dial connects gorilla, which fragments messages longer than buffer.
func dial(t *testing.T, addr, subprotocol string, buffer int) *websocket.Conn {
	dialer := websocket.Dialer{Subprotocols: []string{subprotocol}, WriteBufferSize: buffer}
	c, _, err := dialer.Dial("ws://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// load returns a capture's bytes, after capturing them if that was asked for.
func load(t *testing.T, i int) []byte {
	c := captures[i]
	path := filepath.Join("testdata", c.file)
	if *update {
		var got bytes.Buffer
		subprotocol := c.d.String()
		if c.tunnel != "" {
			subprotocol = ws.TunnelPortForward
		}
		t.Run("capture "+c.file, func(t *testing.T) { // serve's clean-up waits for the server
			c.record(t, serve(t, subprotocol, func(conn net.Conn) { io.Copy(&got, conn) }))
		})
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Wherever TCP cuts the bytes, in two or in three, they say the same.
func TestSplits(t *testing.T) {
	for i, c := range captures {
		t.Run(c.file, func(t *testing.T) {
			in := load(t, i)
			if len(in) == 0 || len(in) > 512 {
				t.Fatalf("%d bytes", len(in))
			}
			for a := range len(in) {
				for b := a; b < len(in); b++ {
					check(t, c.want, c.tunnel, c.d, split(in, a, b))
					if t.Failed() {
						t.Fatalf("cut at %d and %d", a, b)
					}
				}
			}
		})
	}
}

func check(t *testing.T, want []string, tunnelled string, d ws.Dialect, src io.Reader) {
	if tunnelled != "" {
		tun, b, e := tunnel(src, 37)
		if code, closed := tun.Closed(); string(b) != tunnelled || len(e.lines) != 0 || e.err != io.EOF || !closed || code != 1000 {
			t.Errorf("%q, %v, %v, Close %v with %d", b, e.lines, e.err, closed, code)
		}
		return
	}
	e := read(t, src, d)
	equal(t, e.lines, want)
	if e.err != io.EOF {
		t.Error(e.err)
	}
}
