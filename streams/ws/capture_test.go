package ws_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	xnet "golang.org/x/net/websocket"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"

	"edge/streams"
	"edge/streams/ws"
)

var update = flag.Bool("update", false, "capture testdata anew from the clients")

// captures are the bytes of sessions after the handshake, as real clients and servers sent them,
// and the frames expected from them.
var captures = []struct {
	file   string
	record func(t *testing.T, addr string) // runs a real client against this package's server
	serve  http.Handler                    // if the field record is nil: a real server for this package's client
	server bool                            // true: the bytes were sent by a server, not by a client
	d      ws.Dialect
	want   []string
	tunnel string // for a tunnel: the expected bytes in the tunnel; the field want is not used
}{
	{
		file: "gorilla.v5",
		d:    ws.V5Channel,
		record: func(t *testing.T, addr string) {
			c := dial(t, addr, ws.V5, 16)
			defer c.Close()
			w, _ := c.NextWriter(websocket.BinaryMessage) // a message of three fragments
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
		file: "gorilla.v4.base64",
		d:    ws.V4Base64Channel,
		record: func(t *testing.T, addr string) {
			c := dial(t, addr, ws.V4Base64, 16)
			defer c.Close()
			w, _ := c.NextWriter(websocket.TextMessage) // fragments that split groups of base64
			io.WriteString(w, text("\x00ls -l\nexit\n"))
			c.WriteControl(websocket.PingMessage, []byte("ping"), time.Time{})
			w.Close()
			c.WriteMessage(websocket.TextMessage, []byte(text("\x04"+size)))
			c.WriteMessage(websocket.BinaryMessage, []byte("0\r\nIwo=\r\n"))
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""), time.Time{})
		},
		want: []string{
			`data stdin "ls -l\nexi"`, `answer "\x8a\x04ping"`, `data stdin "t\n"`, fmt.Sprintf("resize terminal %q", size), `data stdin "#\n"`, "close 1001",
		},
	},
	{
		file: "xnet.v1.base64",
		d:    ws.V1Base64Channel,
		record: func(t *testing.T, addr string) {
			c, err := xnet.Dial("ws://"+addr+"/", ws.V1Base64, "http://localhost/")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			xnet.Message.Send(c, text("\x00ls\n"))
			xnet.Message.Send(c, []byte(text("\x00"+strings.Repeat("a", 100))))
		},
		want: []string{`data stdin "ls\n` + strings.Repeat("a", 100) + `"`, "close 1000"},
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
	{
		file: "gorilla-server.v5", server: true, d: ws.V5Channel,
		serve: gorillaServer(ws.V5, 16, func(c *websocket.Conn) {
			c.WriteMessage(websocket.BinaryMessage, []byte{1})
			w, _ := c.NextWriter(websocket.BinaryMessage) // a message of three fragments
			io.WriteString(w, "\x01"+strings.Repeat("0123456789", 7))
			c.WriteControl(websocket.PingMessage, []byte("ping"), time.Time{})
			w.Close()
			c.WriteMessage(websocket.BinaryMessage, []byte("\x02oh\n"))
			c.WriteControl(websocket.PongMessage, nil, time.Time{})
			w, _ = c.NextWriter(websocket.BinaryMessage)
			io.WriteString(w, "\x03"+failure)
			w.Close()
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Time{})
		}),
		want: []string{
			`answer "\x8a\x04ping"`, `data stdout "` + strings.Repeat("0123456789", 7) + `"`, `data stderr "oh\n"`,
			fmt.Sprintf("status error %q", failure), "close 1000",
		},
	},
	{
		file: "client-go-server.tunnel", server: true,
		serve: gorillaServer(ws.TunnelPortForward, 4096, func(c *websocket.Conn) {
			tun := portforward.NewTunnelingConnection("", c)
			tun.Write([]byte("SPDY bytes, "))
			tun.Write([]byte("cut anywhere"))
			tun.Close()
		}),
		tunnel: "SPDY bytes, cut anywhere",
	},
	{file: "runtime.v1", server: true, d: ws.V1Channel, serve: container(7).serve(false), want: append(failed, plainFailure, "close 1000")},
	{file: "runtime.v1.base64", server: true, d: ws.V1Base64Channel, serve: container(7).serve(false), want: append(failed, plainFailure, "close 1000")},
	{file: "runtime.v4", server: true, d: ws.V4Channel, serve: container(7).serve(false), want: append(failed, jsonFailure, "close 1000")},
	{file: "runtime.v4.base64", server: true, d: ws.V4Base64Channel, serve: container(7).serve(false), want: append(failed, jsonFailure, "close 1000")},
	{
		file: "runtime.v4.success", server: true, d: ws.V4Channel, serve: container(0).serve(false),
		want: []string{`data stdout "exit"`, `status error "{\"status\":\"Success\"}"`, "close 1000"},
	},
	{file: "runtime.v1.success", server: true, d: ws.V1Channel, serve: container(0).serve(true), want: []string{`data stdout "{80 24}exit"`, "close 1000"}},
}

var (
	failed       = slices.Clip([]string{`data stdout "exit"`, `data stderr "failed"`})
	plainFailure = `status error "command terminated with non-zero exit code: exit 7"`
	jsonFailure  = fmt.Sprintf("status error %q", `{"status":"Failure","message":"command terminated with non-zero exit code: exit 7",`+
		`"reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}`)
)

// gorillaServer returns a server made with gorilla/websocket that calls the function say for each
// connection, and then reads until the connection ends.
func gorillaServer(subprotocol string, buffer int, say func(*websocket.Conn)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{Subprotocols: []string{subprotocol}, WriteBufferSize: buffer, CheckOrigin: func(*http.Request) bool { return true }}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		say(c)
		io.Copy(io.Discard, c.NetConn())
	})
}

// dial connects a client made with gorilla/websocket. The client fragments messages longer than
// buffer bytes.
func dial(t *testing.T, addr, subprotocol string, buffer int) *websocket.Conn {
	dialer := websocket.Dialer{Subprotocols: []string{subprotocol}, WriteBufferSize: buffer}
	c, _, err := dialer.Dial("ws://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// load returns the bytes of capture i. With -update it first captures them anew.
func load(t *testing.T, i int) []byte {
	c := captures[i]
	path := filepath.Join("testdata", c.file)
	if *update {
		var got bytes.Buffer
		subprotocol := c.d.String()
		if c.tunnel != "" {
			subprotocol = ws.TunnelPortForward
		}
		// The capture is a subtest, because its cleanup waits until the server has ended and has
		// written all bytes to got.
		t.Run("capture "+c.file, func(t *testing.T) {
			if !c.server {
				c.record(t, serve(t, subprotocol, func(conn net.Conn) { io.Copy(&got, conn) }))
				return
			}
			srv := httptest.NewServer(c.serve)
			defer srv.Close()
			conn, r := shake(t, srv.Listener.Addr().String(), subprotocol)
			if c.tunnel == "" {
				sink := ws.NewExecUpstreamSink(&wire{c: conn}, c.d)
				sink.Write(say(streams.Resize, streams.Terminal, size))
				sink.Write(say(streams.Data, streams.Stdin, "exit"))
				sink.Flush()
			}
			for { // read up to the server's Close
				b := make([]byte, 4096)
				n, err := r.Read(b)
				got.Write(b[:n])
				if err != nil || bytes.Contains(got.Bytes(), []byte("\x03\xe8")) {
					break
				}
			}
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

// TestSplits checks that a source returns the same frames for the captured bytes wherever they are
// split, in two or in three.
func TestSplits(t *testing.T) {
	for i, c := range captures {
		t.Run(c.file, func(t *testing.T) {
			in := load(t, i)
			if len(in) == 0 || len(in) > 512 {
				t.Fatalf("%d bytes", len(in))
			}
			splits(t, in, 300, func(src io.Reader) {
				if c.tunnel != "" {
					open := tunnel
					if c.server {
						open = clientTunnel
					}
					tun, b, e := open(src, 37)
					if code, closed := tun.Closed(); string(b) != c.tunnel || len(e.lines) != 0 || e.err != io.EOF || !closed || code != 1000 {
						t.Errorf("%q, %v, %v, Close %v with %d", b, e.lines, e.err, closed, code)
					}
					return
				}
				hear := read
				if c.server {
					hear = readServer
				}
				e := hear(t, src, c.d)
				equal(t, gist(e.lines), gist(c.want))
				if e.err != io.EOF {
					t.Error(e.err)
				}
			})
		})
	}
}
